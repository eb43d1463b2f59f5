package main

// trustCommands are about who sent mail, whether it is wanted, and whether it is safe.
type trustCommands struct {
	Quarantine quarantineCommands `cmd:"" help:"Messages that are kept apart: list, show, release, delete."`
	Ban        banCommands        `cmd:"" help:"Who is kept away for attacking: list, add, remove."`
	Expect     expectCommand      `cmd:"" help:"Let mail that somebody waits for through without greylisting."`
	DKIM       dkimCommands       `cmd:"" name:"dkim" help:"Keys that our domains sign mail with (RFC 6376)."`
	SPF        spfCommands        `cmd:"" name:"spf" help:"Sender policies of domains (RFC 7208): check them."`
	DMARC      dmarcCommands      `cmd:"" name:"dmarc" help:"What other hosts report about mail from our domains (RFC 9990)."`
	ARF        arfCommands        `cmd:"" name:"arf" help:"What other hosts report about single messages of ours: complaints and failures (RFC 5965)."`
	DLP        dlpCommands        `cmd:"" name:"dlp" help:"What must not leave by mail: registered documents."`
	Spam       spamCommands       `cmd:"" help:"The spam classifier: teach it, ask it."`
	DNSBL      dnsblCommands      `cmd:"" name:"dnsbl" help:"Lists in the DNS that mail of others is looked up in."`
}
