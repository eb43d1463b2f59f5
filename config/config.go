// Package config is the configuration of a node: one typed struct, read from TOML.
//
// Every key stands once, as a field of [Config] with its default and its manual in the field's tags,
// so that reading, checking, `config show`, `config doc` and the manual page cannot drift apart.
// [Load] reports all errors at once, each with its line. Only package node sees the whole; other
// packages take small configurations of their own.
package config

import (
	"net/netip"
	"strings"
	"time"
)

// A Config holds the effective settings of a node. Tags: toml is the key, default the text its value
// is read from when the file is silent, doc its manual.
type Config struct {
	Hostname string `toml:"hostname" doc:"Our name in SMTP and in the default certificate: the fully qualified name that our address resolves to and back. Required."`
	Domain   string `toml:"domain" doc:"Domain that completes names without one: logins, and addresses such as postmaster. Empty: hostname without its first label."`
	Data     string `toml:"data" default:"/var/lib/posthaste" doc:"Directory of the embedded store, of blobs, of the spool of large messages and of the admin socket. One node at a time uses it."`
	User     string `toml:"user" doc:"Unix user to become after the ports are bound, when started as root. Empty: stay as started."`

	Log     Log      `toml:"log"`
	Store   Store    `toml:"store"`
	TLS     TLS      `toml:"tls"`
	DNS     DNS      `toml:"dns"`
	SMTP    SMTP     `toml:"smtp"`
	Remote  Remote   `toml:"remote"`
	Queue   Queue    `toml:"queue"`
	Account Account  `toml:"account"`
	Limits  Limits   `toml:"limits"`
	Trace   Trace    `toml:"trace"`
	Listen  []Listen `toml:"listen"`

	Ban      Ban      `toml:"ban"`
	Outflow  Outflow  `toml:"outflow"`
	Greylist Greylist `toml:"greylist"`

	Route       Route        `toml:"route"`
	Smarthosts  []Smarthost  `toml:"smarthost"`
	Relay       Relay        `toml:"relay"`
	Access      []Access     `toml:"access"`
	Alias       Alias        `toml:"alias"`
	Unix        Unix         `toml:"unix"`
	Helper      Helper       `toml:"helper"`
	Pipes       []Pipe       `toml:"pipe"`
	Rewrite     Rewrite      `toml:"rewrite"`
	SRS         SRS          `toml:"srs"`
	Drop        Drop         `toml:"drop"`
	Shapes      []Shape      `toml:"shape"`
	SenderRates []SenderRate `toml:"sender_rate"`
	Warmups     []Warmup     `toml:"warmup"`
	TLSPolicy   TLSPolicy    `toml:"tls_policy"`
	TLSRPT      TLSRPT       `toml:"tlsrpt"`
	DMARC       DMARC        `toml:"dmarc"`
	ARF         ARF          `toml:"arf"`
	Tables      []Table      `toml:"table"`
	DNSBLs      []DNSBL      `toml:"dnsbl"`
	Filter      Filter       `toml:"filter"`

	Authenticate Authenticate `toml:"authenticate"`
	FilterRules  []FilterRule `toml:"rule"`
	Milters      []Milter     `toml:"milter"`
	Rspamds      []Rspamd     `toml:"rspamd"`
	Spamds       []Spamd      `toml:"spamd"`
	Hooks        []Hook       `toml:"hook"`
	Quarantine   Quarantine   `toml:"quarantine"`
	DLP          []DLP        `toml:"dlp"`
	Disclaimers  []Disclaimer `toml:"disclaimer"`

	Attachments Attachments `toml:"attachments"`
	Clamd       Clamd       `toml:"clamd"`
	ICAP        ICAP        `toml:"icap"`

	lines map[string]int // of each key that the file sets
}

// Log says what is logged, to standard error.
type Log struct {
	Level  string `toml:"level" default:"info" oneof:"debug info warn error" doc:"Least severe level that is logged: debug, info, warn or error."`
	Format string `toml:"format" default:"text" oneof:"text json" doc:"text for people, json for programs."`
}

// Store says where state is kept.
type Store struct {
	URL   string `toml:"url" doc:"Database of the PostgreSQL protocol, as postgres://user@host/name. Empty: the embedded store in data."`
	Blob  string `toml:"blob" doc:"Object store for large content, as s3://bucket?endpoint=… Empty: files in data."`
	Cache Size   `toml:"cache" default:"16MiB" min:"1MiB" doc:"Memory for blocks of the embedded store. Views of mailboxes have a bound of their own, four times this."`
}

// TLS says how sessions are encrypted.
type TLS struct {
	Certificate   Certificate `toml:"certificate" default:"self-signed" doc:"Where our certificate comes from: \"self-signed\" (made and renewed in data), or { cert = \"FILE\", key = \"FILE\" } in PEM, read again when the files change."`
	PlaintextAuth bool        `toml:"plaintext_auth" default:"false" doc:"Allow passwords without TLS. For labs on loopback only."`
}

// DNS says whom to ask for names.
type DNS struct {
	Servers  []string `toml:"servers" doc:"Recursive resolvers as address or address:port. Empty: those of the system."`
	Trusted  []string `toml:"trusted" doc:"Servers besides those on loopback whose DNSSEC verdict is believed: validating resolvers over a path that nobody can write to."`
	Validate string   `toml:"validate" default:"auto" oneof:"auto on off" doc:"Prove answers by DNSSEC, which DANE needs. auto: not, with a warning, where the servers leave out signatures."`
	Anchors  []string `toml:"anchors" doc:"Trust anchors of DNSSEC as DS or DNSKEY records. Empty: those of the root, built in."`
}

// SMTP bounds and tunes the sessions of services mx, submission, submissions and lmtp.
type SMTP struct {
	MaxSize       Size           `toml:"max_size" default:"50MiB" min:"64KiB" max:"2GiB" doc:"Largest message taken, announced as SIZE (RFC 1870)."`
	MaxRecipients int            `toml:"max_recipients" default:"1000" min:"100" max:"100000" doc:"Most recipients of one message; more are answered 452 (RFC 5321 section 4.5.3.1.8)."`
	BareLF        string         `toml:"bare_lf" default:"reject" oneof:"reject accept" doc:"A CR or LF that stands alone in DATA: reject refuses the message after its true end, accept turns each into CRLF. Never does it end DATA."`
	MaxMessages   int            `toml:"max_messages" default:"0" min:"0" max:"1000000" doc:"Most messages in one session, announced as LIMITS MAILMAX (RFC 9422). 0: any number."`
	MaxHold       Duration       `toml:"max_hold" default:"30d" min:"1m" max:"365d" doc:"How far ahead users may ask for release (FUTURERELEASE, RFC 4865)."`
	MinDeliverBy  Duration       `toml:"min_deliver_by" default:"0s" min:"0s" max:"1d" doc:"Least time that a sender may give us before a message is to be returned (DELIVERBY, RFC 2852)."`
	VRFY          bool           `toml:"vrfy" default:"false" doc:"Answer VRFY of clients that are trusted or logged in. Others always hear 252."`
	ETRN          bool           `toml:"etrn" default:"false" doc:"Offer ETRN (RFC 1985) for relay domains to clients of relay.networks and those that access rules of stage etrn permit."`
	RejectEarly   bool           `toml:"reject_early" default:"false" doc:"Refuse clients by access rules of stage client and helo at once, not at RCPT, where the log learns whom their mail was for."`
	XClientHosts  []netip.Prefix `toml:"xclient_hosts" doc:"Hosts that may speak for others by XCLIENT, such as a proxy in front."`
	LMTPNetworks  []netip.Prefix `toml:"lmtp_networks" default:"127.0.0.0/8 ::1/128" doc:"Networks that may use service lmtp, which asks for no login."`
	ProxyNetworks []netip.Prefix `toml:"proxy_networks" doc:"Load balancers that must begin each connection to a listener with proxy = true with a PROXY header (v1 or v2)."`
}

// Remote tunes delivery to other hosts.
type Remote struct {
	Port        int        `toml:"port" default:"25" min:"1" max:"65535" doc:"TCP port of other hosts. Other than 25 for labs and tests only."`
	Connections int        `toml:"connections" default:"200" min:"1" max:"10000" doc:"Most connections to other hosts at a time."`
	Source      netip.Addr `toml:"source" doc:"Address of ours to connect from; the other family is then not used. Unset: the system chooses."`
	Connect     Duration   `toml:"connect_timeout" default:"30s" min:"1s" max:"5m" doc:"Patience with a host that does not answer at all."`
}

// Queue says how long and how often delivery is tried.
type Queue struct {
	Retry         Duration `toml:"retry" default:"5m" min:"100ms" max:"1d" doc:"Wait before the second attempt. Later waits double, with jitter, up to retry_max."`
	RetryMax      Duration `toml:"retry_max" default:"4h" min:"100ms" max:"1d" doc:"Longest wait between attempts."`
	Expire        Duration `toml:"expire" default:"5d" min:"1s" max:"7d" doc:"Time after which a message that could not be delivered goes back to its sender (RFC 5321 section 4.5.4.1)."`
	DelayWarning  Duration `toml:"delay_warning" default:"4h" min:"0s" max:"30d" doc:"Time after which the sender hears once that a message is late. 0s: never."`
	BuiltinShapes bool     `toml:"builtin_shapes" default:"true" doc:"Heed what large mail providers are known to answer to senders that are too fast, beside the rules of [[shape]]."`
	Concurrency   int      `toml:"concurrency" default:"20" min:"1" max:"1000" doc:"Most deliveries at a time to one destination; it starts lower and grows with success."`
	Window        int      `toml:"window" default:"20000" min:"100" max:"200000" doc:"Most entries in memory; the others wait in the store."`
	Small         Size     `toml:"small" default:"64KiB" min:"1KiB" max:"1MiB" doc:"Size up to which mail is small: a quarter of all deliveries is kept for it."`
	Content       Size     `toml:"content" default:"256MiB" min:"16MiB" max:"64GiB" doc:"Most content that running deliveries hold in memory; a larger message goes alone."`
	Batch         int      `toml:"batch" default:"100" min:"1" max:"1000" doc:"Most recipients of one message in one delivery (RFC 5321 section 4.5.3.1.8)."`
}

// Account holds defaults of accounts.
type Account struct {
	Quota     Size   `toml:"quota" default:"0" doc:"Most bytes of mail in an account that has no quota of its own. 0: no limit."`
	Separator string `toml:"separator" default:"+" doc:"Character between user and detail in an address: user+detail@domain reaches user@domain. Empty: none."`
}

// Trace bounds the flight recorder.
type Trace struct {
	Keep Duration `toml:"keep" default:"30d" min:"1h" max:"10y" doc:"Age at which events are deleted."`
	Max  Size     `toml:"max" default:"1GiB" min:"1MiB" doc:"Most bytes of events; the oldest hours go first."`
}

// A Listen is one listener.
type Listen struct {
	Service string `toml:"service" oneof:"mx submission submissions lmtp imap imaps pop3 pop3s http https" doc:"What is served: mx (mail from other hosts, usually :25), submission (:587), submissions (:465), lmtp, imap (:143), imaps (:993), pop3 (:110), pop3s (:995), http (:80, for labs and behind a proxy), https (:443). Required."`
	Address string `toml:"address" doc:"host:port to listen on; :25 means every address. Required."`
	Proxy   bool   `toml:"proxy" default:"false" doc:"Clients come through a load balancer of smtp.proxy_networks."`
}

// A Certificate names the source of our certificate.
type Certificate struct {
	Source string // "self-signed" or "files"
	Cert   string // path of the chain in PEM, with "files"
	Key    string // path of the private key in PEM, with "files"
}

// A Duration reads "90s", "5m", "4h", "5d", "10y".
type Duration time.Duration

// A Size reads "50MiB", "1 GiB", "4096".
type Size int64

// LocalDomain returns the domain that completes names without one.
func (c *Config) LocalDomain() string {
	if c.Domain != "" {
		return strings.ToLower(c.Domain)
	}
	host := strings.ToLower(c.Hostname)
	if _, rest, _ := strings.Cut(host, "."); qualified(rest) {
		return rest
	}
	return host
}

// D returns d as the standard library has it.
func (d Duration) D() time.Duration { return time.Duration(d) }
