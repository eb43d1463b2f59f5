package config

// Points are what rules of the filter count: positive ones speak for spam.
type Points float64

const maxPoints = 1000

// Authenticate says what is done about mail of other hosts that does not prove itself.
type Authenticate struct {
	Enabled   bool     `toml:"enabled" default:"true" doc:"Look who sent mail of other hosts: iprev, SPF, DKIM, ARC, DMARC, lists in the DNS. false: nothing is looked up; for hosts behind one that does it."`
	Enforce   bool     `toml:"enforce" default:"true" doc:"Do what domains ask for about mail that does not prove itself (DMARC, RFC 9989): refuse it, or file it as junk."`
	RefuseSPF bool     `toml:"refuse_spf_fail" default:"false" doc:"Refuse mail for which SPF fails, whatever else speaks for it. Forwarded mail often fails."`
	Sealers   []string `toml:"sealers" doc:"Domains whose ARC seals are believed: mail that they found proven before they passed it on is not held to DMARC. As those of mailing lists and forwarders of yours."`
}

// Filter judges mail of other hosts.
type Filter struct {
	Enabled        bool     `toml:"enabled" default:"true" doc:"Judge mail of other hosts. false: it is authenticated, and no more."`
	Tag            Points   `toml:"tag" default:"3" doc:"From how many points on mail is delivered with X-Spam-Flag. 0: never."`
	Junk           Points   `toml:"junk" default:"5" doc:"From how many points on it is filed into the mailbox for junk. 0: never."`
	Quarantine     Points   `toml:"quarantine" default:"0" doc:"From how many points on it is kept in quarantine, see posthaste quarantine. 0: never."`
	Greylist       Points   `toml:"greylist" default:"0" doc:"From how many points on a client that we do not know is put off once, where greylisting is on. 0: never."`
	Reject         Points   `toml:"reject" default:"15" doc:"From how many points on it is refused in the session, so that its sender hears of it. 0: never."`
	OutgoingHold   Points   `toml:"outgoing_hold" default:"8" doc:"From how many points on mail of our own users waits in the queue until an operator releases it. 0: never."`
	OutgoingReject Points   `toml:"outgoing_reject" default:"15" doc:"From how many points on mail of our own users is refused. 0: never."`
	Weights        []string `toml:"weights" doc:"Points in the place of those that rules have, each as \"SPF_FAIL 2.5\"; 0 turns a rule off. posthaste explain message names rules."`
	Traps          []string `toml:"traps" doc:"Addresses of ours that nobody writes to for good reason: what comes for them is learned as spam and dropped."`
	Learn          bool     `toml:"learn" default:"true" doc:"Learn from what readers move into and out of their mailbox for junk."`
	LMTP           bool     `toml:"lmtp" default:"true" doc:"Judge what comes by service lmtp too. It is never refused for that."`
}

// A FilterRule is a rule of the operator.
type FilterRule struct {
	Name    string `toml:"name" required:"true" doc:"Name, in capitals. Required."`
	Field   string `toml:"field" required:"true" doc:"What is looked at: a field of the header, as Subject, or body, sender, recipient, client (address), name (confirmed) or helo. Required."`
	Pattern string `toml:"pattern" required:"true" doc:"Regular expression (RE2) that it must match; (?i) at the start ignores case. Required."`
	Points  Points `toml:"points" default:"0" doc:"What it counts; what speaks for spam is positive."`
	Meaning string `toml:"meaning" doc:"One sentence for people about what it means."`
}
