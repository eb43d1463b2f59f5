package main

// trustCommands are about who sent mail, whether it is wanted, and whether it is safe.
type trustCommands struct {
	Quarantine quarantineCommands `cmd:"" help:"Messages that are kept apart: list, show, release, delete."`
	DKIM       dkimCommands       `cmd:"" name:"dkim" help:"Keys that our domains sign mail with (RFC 6376)."`
	SPF        spfCommands        `cmd:"" name:"spf" help:"Sender policies of domains (RFC 7208): check them."`
}
