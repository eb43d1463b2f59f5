package config

import "net/netip"

// A Ban says when somebody is kept away. Limits of 0 are none.
type Ban struct {
	Enabled           bool           `toml:"enabled" default:"true" doc:"Ban who attacks. false: only operators ban, and guessing of passwords is but slow."`
	Allow             []netip.Prefix `toml:"allow" doc:"Networks that are never banned, beside those of limits.exempt."`
	Window            Duration       `toml:"window" default:"15m" min:"1m" max:"1d" doc:"Time within which offences count together, from the first on."`
	FailedLogins      int            `toml:"failed_logins" default:"30" min:"0" max:"100000" doc:"How many failed logins within window ban an IPv4 address or IPv6 /64. The same wrong password again is not counted. Offences of several kinds add up, each as its share of the limit."`
	UnknownLogins     int            `toml:"unknown_logins" default:"15" min:"0" max:"100000" doc:"The same of logins that do not exist. Where it differs from failed_logins, who gives up an address for it can tell whether a login exists."`
	Scans             int            `toml:"scans" default:"5" min:"0" max:"100000" doc:"The same of clients that speak HTTP or TLS where SMTP is spoken."`
	BadSessions       int            `toml:"bad_sessions" default:"10" min:"0" max:"100000" doc:"The same of SMTP sessions that were ended for too many bad commands."`
	Probes            int            `toml:"probes" default:"100" min:"0" max:"100000" doc:"The same of SMTP connections that come and go without a command that leads to mail."`
	UnknownRecipients int            `toml:"unknown_recipients" default:"100" min:"0" max:"100000" doc:"The same of recipients that do not exist."`
	Prefix            int            `toml:"prefix" default:"5" min:"0" max:"1000" doc:"When the offences in an IPv4 /24 or IPv6 /48 would ban so many networks, all of it is banned."`
	ASN               int            `toml:"asn" default:"50" min:"0" max:"100000" doc:"The same of an autonomous system, where asn_table tells which network belongs to which."`
	ASNTable          string         `toml:"asn_table" doc:"File of lines \"prefix number\", as 192.0.2.0/24 64500. Empty: systems are unknown."`
	Login             int            `toml:"login" default:"50" min:"0" max:"100000" doc:"How many failed logins within window, from login_networks at least, close a login to all devices that did not log in before."`
	LoginNetworks     int            `toml:"login_networks" default:"5" min:"1" max:"8" doc:"From how many networks these must come."`
	Time              Duration       `toml:"time" default:"10m" min:"1m" max:"7d" doc:"How long a first ban lasts. The next ones last 6, 36, 144, 432, 1008 times as long."`
	MaxTime           Duration       `toml:"max_time" default:"7d" min:"1m" max:"365d" doc:"How long any ban lasts at most, those of operators apart."`
	KnownDevices      Duration       `toml:"known_devices" default:"60d" min:"1h" max:"365d" doc:"How long a network is remembered from which an account logged in. There it can log in through a ban."`
	NFTables          string         `toml:"nftables" default:"inet filter posthaste" doc:"Family, table and name of the sets that posthaste ban export writes; 4 and 6 are added to the name."`
}
