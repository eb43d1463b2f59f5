package config

import "net/netip"

// A Table defines a lookup table that needs more than its name, for use as "sql:NAME", "ldap:NAME" or
// "http:NAME" wherever a table is named.
type Table struct {
	Name        string   `toml:"name" required:"true" doc:"Name of the table, as in sql:NAME. Required."`
	Type        string   `toml:"type" oneof:"sql ldap http" doc:"What is asked: sql, ldap or http. Required."`
	URL         string   `toml:"url" required:"true" doc:"Whom to ask: postgres://user@host/db or mysql://user@host/db, also with ?socket=/path or ?tls=true (sql), ldap://host, ldaps://host or ldapi:///path (ldap), https://host/path?key=%s (http). Required."`
	Query       string   `toml:"query" doc:"SQL whose columns and rows, joined by commas, are the answer; LDAP filter. %s is the key, %u its local-part, %d its domain, %% a percent sign; they are bound or escaped, never spliced in."`
	Base        string   `toml:"base" doc:"Entry of the LDAP directory to search below."`
	Scope       string   `toml:"scope" default:"sub" oneof:"sub one base" doc:"How far below base an LDAP search goes: sub, one or base."`
	Attribute   string   `toml:"attribute" doc:"LDAP attribute whose values are the answer."`
	User        string   `toml:"user" doc:"Distinguished name to bind as (ldap), or user name (http, sql)."`
	Password    string   `toml:"password_file" doc:"File that holds the password."`
	StartTLS    bool     `toml:"starttls" default:"false" doc:"Encrypt an ldap:// connection before anything else."`
	CA          string   `toml:"ca" doc:"File of certificates in PEM to trust instead of the system's (ldap, http)."`
	Cache       Size     `toml:"cache" default:"8MiB" min:"64KiB" doc:"Most memory for what is remembered."`
	Timeout     Duration `toml:"timeout" default:"5s" min:"100ms" max:"1m" doc:"Patience with one lookup; beyond it mail waits."`
	Connections int      `toml:"connections" default:"8" min:"1" max:"256" doc:"Most lookups at the same time."`
	TTL         Duration `toml:"ttl" default:"1m" min:"0s" max:"1d" doc:"How long an answer is remembered."`
	NegativeTTL Duration `toml:"negative_ttl" default:"30s" min:"0s" max:"1d" doc:"How long it is remembered that there is no entry."`
	Stale       Duration `toml:"stale" default:"0s" min:"0s" max:"7d" doc:"How long beyond ttl an answer may be used while the source does not answer. 0s: not at all."`
}

// Route says by which way mail leaves.
type Route struct {
	Transports []string `toml:"transports" doc:"Tables from recipient (user@domain, domain, .domain above, *) to transport: mx, mx:domain, smarthost:NAME, smtp:host:port, lmtp:host:port, lmtp:unix:/path, pipe:NAME, file:/path, local, discard, error:text, defer:text, hold:text, or a list as \"mx, smarthost:isp from 4\" (the fourth attempt is the first by the smarthost)."`
	Senders    []string `toml:"senders" doc:"Tables from sender (user@domain, domain, <> for the null sender) to transport, asked for mail to other hosts that no transport table decides."`
	Default    string   `toml:"default" default:"mx" doc:"Transport of all other mail to other hosts."`
	NullClient string   `toml:"null_client" doc:"Transport of all mail, also that to our own domains: nothing is delivered here. As smarthost:hub. Empty: this is no null client."`
}

// A Smarthost is a relay that mail is handed to.
type Smarthost struct {
	Name     string     `toml:"name" required:"true" doc:"Name, as in smarthost:NAME. Required."`
	Hosts    []string   `toml:"hosts" required:"true" doc:"Hosts as host or host:port, tried in this order. Required."`
	Port     int        `toml:"port" default:"0" min:"0" max:"65535" doc:"Port of hosts that name none. 0: 465 with tls = \"implicit\", 587 with a username, else 25."`
	MX       bool       `toml:"mx" default:"false" doc:"hosts are domains whose mail exchangers are meant."`
	TLS      string     `toml:"tls" default:"verified" oneof:"plaintext opportunistic encrypted verified implicit" doc:"Encryption: plaintext (never), opportunistic (where it works), encrypted (always, any certificate), verified (always, with a certificate of the host's name), implicit (verified, from the first byte; customary port 465)."`
	Username string     `toml:"username" doc:"Name to log in with. Empty: no login."`
	Password string     `toml:"password_file" doc:"File that holds the password."`
	Source   netip.Addr `toml:"source" doc:"Address of ours to connect from. Unset: remote.source."`
	Helo     string     `toml:"helo" doc:"Our name in EHLO. Empty: hostname."`
}

// Relay says for whom we pass mail on.
type Relay struct {
	Networks   []netip.Prefix `toml:"networks" doc:"Clients of service mx that may send to anybody without a login."`
	Domains    []string       `toml:"domains" doc:"Tables of domains that we take mail for and pass on, besides those added with domain add --relay; the value does not matter."`
	Recipients []string       `toml:"recipients" doc:"Tables of the known recipients of relay domains (user@domain, @domain). Empty: ask the primary host, see verify."`
	Verify     string         `toml:"verify" default:"call-ahead" oneof:"call-ahead off" doc:"For recipients of relay domains that no table of recipients knows of: call-ahead asks the primary host and remembers its answer; off takes them all where recipients names no table, and what the primary refuses later comes back to its sender; where it names one, who is not in it is refused."`
	Unverified string         `toml:"unverified" default:"accept" oneof:"accept defer" doc:"When the primary cannot be asked: accept, as a backup MX must, or defer (450)."`
	Transport  string         `toml:"transport" default:"mx" doc:"Transport of relay domains that no transport table decides: mx goes to the exchangers of better preference than ours."`
	Expire     Duration       `toml:"expire" default:"30d" min:"1h" max:"60d" doc:"How long mail for relay domains waits for the primary to come back."`
}

// An Access is a rule about who may send what.
type Access struct {
	Stage   string `toml:"stage" oneof:"client helo sender recipient etrn" doc:"What is looked up: client (address, network or confirmed name), helo, sender, recipient, or the domain of ETRN. Required."`
	Table   string `toml:"table" required:"true" doc:"Table to action: permit, reject TEXT, defer TEXT, discard, hold, dunno, or a reply as \"550 5.7.1 TEXT\". Permit ends the rules of its stage; it never grants relaying. Required."`
	Default string `toml:"default" doc:"The action where the table has no entry. Empty: the next rule."`
}

// Alias says what besides the directory gives addresses their meaning.
type Alias struct {
	Files   []string `toml:"files" doc:"Files in the syntax of aliases(5), such as /etc/aliases; read again when they change. They hold for local_domains."`
	Tables  []string `toml:"tables" doc:"Tables from address (user@domain, @domain) to a list of addresses, for every domain of ours."`
	Domains []string `toml:"domains" doc:"Tables of domains that are ours besides those of the directory; the value does not matter."`
	Local   []string `toml:"local_domains" doc:"Domains whose users are those of alias files and of the system. Empty: hostname and domain, where alias.files or unix.users is set."`
}

// Unix makes users of the system local recipients.
type Unix struct {
	Users   []string `toml:"users" doc:"Users of the system that get mail here, or \"*\" for all from min_uid up. root gets none unless it is named. Empty: none."`
	MinUID  int      `toml:"min_uid" default:"1000" min:"1" max:"2000000000" doc:"Least user ID that \"*\" means."`
	Mailbox string   `toml:"mailbox" default:"/var/mail/{user}" doc:"Where their mail goes: an mbox file, or a Maildir when it ends in /; {user} stands for the name, ~/ at the start for the home."`
	Forward bool     `toml:"forward" default:"true" doc:"Follow the file ~/.forward of each user, where nobody else can write it."`
	Trusted []string `toml:"trusted" doc:"Users besides root that may name any sender with sendmail -f."`
}

// Helper is what the helper process may do, which runs programs and writes files of users. It starts
// before root is given up, so a change needs a restart.
type Helper struct {
	Commands []string `toml:"commands" doc:"Programs that aliases and .forward files may run: a path allows that program with any arguments, an entry with blanks exactly that command. Programs of [[pipe]] need no listing."`
	Paths    []string `toml:"paths" doc:"Files that aliases and transports may append to, with * and ?; /** at the end stands for all below, ~/ at the start for the user's home. Mailboxes of unix.users need no listing."`
	User     string   `toml:"user" default:"nobody" doc:"User that does what names no user, when we were started as root."`
	Timeout  Duration `toml:"timeout" default:"5m" min:"1s" max:"1h" doc:"How long a program may run."`
	Output   Size     `toml:"output" default:"4KiB" min:"256" max:"64KiB" doc:"How much of what a program prints is kept."`
	Jobs     int      `toml:"jobs" default:"20" min:"1" max:"500" doc:"Most programs and files at the same time."`
}

// A Pipe is a program that takes mail by transport pipe:NAME.
type Pipe struct {
	Name    string   `toml:"name" required:"true" doc:"Name, as in pipe:NAME. Required."`
	Command []string `toml:"command" required:"true" doc:"Program by absolute path and its arguments; ${sender} ${recipient} ${user} ${domain} ${extension} ${size} are filled in. Required."`
	User    string   `toml:"user" doc:"User to run as when we were started as root. Empty: helper.user."`
	Flags   string   `toml:"flags" doc:"As in pipe(8): D adds Delivered-To, F a From_ line, O X-Original-To, R Return-Path, h and u make domain and user lower case."`
	Each    bool     `toml:"each" default:"true" doc:"Run once per recipient; false: once per message, ${recipient} becomes as many arguments."`
	MaxSize Size     `toml:"max_size" default:"0" doc:"Largest message that the program takes. 0: no limit."`
	Limit   int      `toml:"limit" default:"5" min:"1" max:"100" doc:"Most runs at the same time."`
}

// Rewrite changes addresses on their way.
type Rewrite struct {
	Canonical          []string `toml:"canonical" doc:"Tables from address to address, for senders and recipients, in envelope and header."`
	SenderCanonical    []string `toml:"sender_canonical" doc:"The same for senders alone."`
	RecipientCanonical []string `toml:"recipient_canonical" doc:"The same for recipients alone."`
	Generic            []string `toml:"generic" doc:"Tables from address to address, for mail that leaves to other hosts."`
	Masquerade         []string `toml:"masquerade" doc:"Domains that hide the names of hosts below them in senders."`
	RecipientBcc       []string `toml:"recipient_bcc" doc:"Tables from recipient to an address that gets a copy."`
	SenderBcc          []string `toml:"sender_bcc" doc:"Tables from sender to an address that gets a copy."`
	AlwaysBcc          string   `toml:"always_bcc" doc:"Address that gets a copy of all mail."`
}

// SRS rewrites the senders of forwarded mail.
type SRS struct {
	Enabled bool   `toml:"enabled" default:"true" doc:"Give mail that aliases and forwards send to other hosts a sender of ours, so that SPF holds there and reports come back through us."`
	Domain  string `toml:"domain" doc:"Domain of those senders. Empty: domain."`
	Days    int    `toml:"days" default:"21" min:"2" max:"500" doc:"How many days reports to such a sender are taken."`
}

// Drop says where local programs leave mail.
type Drop struct {
	Enabled   bool   `toml:"enabled" default:"false" doc:"Take mail of local users from sendmail, also what came while the node was down."`
	Directory string `toml:"directory" default:"/var/spool/posthaste/drop" doc:"Directory that sendmail writes into and the node reads."`
}

// A Shape limits what is sent to some hosts.
type Shape struct {
	Match         []string `toml:"match" required:"true" doc:"Globs of MX host names, as *.google.com, or of recipient domains. Rules are asked in order; those that are built in for the large providers come last. Required."`
	Together      bool     `toml:"together" default:"false" doc:"The destinations of match share one limit and what replies bring about."`
	Concurrency   int      `toml:"concurrency" default:"0" min:"0" max:"1000" doc:"Most deliveries at a time. 0: queue.concurrency."`
	Rate          string   `toml:"rate" doc:"Most messages in a time, as \"100/1m\"; \"100 recipients/1m\" counts recipients. Empty: no limit."`
	PerConnection int      `toml:"per_connection" default:"0" min:"0" max:"1000" doc:"Most messages over one connection. 0: as many as the host takes."`
	Replies       []string `toml:"replies" doc:"What to do about answers, each as \"ACTION [DURATION] REGEXP\" on code and text: slow 1h, suspend 30m, defer or bounce. As 'suspend 1h ^421.*4\\.7\\.28'."`
}

// A SenderRate limits how fast mail of some senders leaves.
type SenderRate struct {
	Match string `toml:"match" required:"true" doc:"Glob of the sender's address, of each by itself. Required."`
	Rate  string `toml:"rate" required:"true" doc:"Most messages in a time, as \"500/1h\"; \"500 recipients/1h\" counts recipients. Required."`
}

// A Warmup limits a source address that nobody knows yet.
type Warmup struct {
	Source netip.Addr `toml:"source" required:"true" doc:"Address of ours. Required."`
	Start  string     `toml:"start" required:"true" doc:"First day, as 2026-11-22. Required."`
	Daily  []int      `toml:"daily" required:"true" doc:"Most messages on the first day, the second, and so on; afterwards there is no limit. Required."`
}

// TLSPolicy says how mail to single domains is encrypted.
type TLSPolicy struct {
	Tables []string `toml:"tables" doc:"Tables from recipient domain (domain, .domain above, *) to policy: none, may, encrypt, verify, dane, dane-only, fingerprint=SHA256. They come before DANE and MTA-STS."`
	DANE   bool     `toml:"dane" default:"true" doc:"Honour TLSA records of mail exchangers (RFC 7672)."`
	MTASTS bool     `toml:"mta_sts" default:"true" doc:"Honour MTA-STS policies of domains (RFC 8461)."`
}

// TLSRPT reports about TLS to those who ask for it.
type TLSRPT struct {
	From         string `toml:"from" doc:"Sender of daily reports about TLS failures (RFC 8460). Empty: none are sent."`
	Organization string `toml:"organization" doc:"Who reports, by name. Empty: the domain of from."`
	Contact      string `toml:"contact" doc:"Address that reports name for questions. Empty: from."`
	Receive      string `toml:"receive" doc:"Address of ours whose mail is read as reports of others about us; see posthaste tlsrpt."`
}
