package config

// A DNSBL is a list in the DNS of addresses or domains.
type DNSBL struct {
	Name    string   `toml:"name" required:"true" doc:"Name in rules and commands: DNSBL_NAME. That of a known list (posthaste dnsbl list --known) stands for its definition; what is set beside it replaces a part of that. Required."`
	Zone    string   `toml:"zone" doc:"Domain below which is asked, as bl.example.net. Required for a list that is not known."`
	Kind    string   `toml:"kind" doc:"What the list has: ip (addresses) or domain. Empty: ip, or that of the known list."`
	Asks    []string `toml:"asks" doc:"What it is asked about: client for a list of addresses; helo, sender, from and url for one of domains. Empty: all of them."`
	Weight  Points   `toml:"weight" default:"2" doc:"Points of an entry whose code has none. A list counts once for a message, with its strongest entry."`
	Codes   []string `toml:"codes" doc:"What answers mean, each as \"127.0.0.2 4.0 sends spam\": a pattern (an octet is a number, a range as 4-11, * or &8 for a bit), points, and words for people; unusable in the place of points marks an answer by which the list refuses us. Answers that none matches are no entry. Empty: those of the known list, else every answer is an entry."`
	Allow   bool     `toml:"allow" default:"false" doc:"The list names good senders: its points are taken off."`
	Host    bool     `toml:"host" default:"false" doc:"Ask a list of domains for whole host names too, not only for the domain that somebody registered."`
	Private bool     `toml:"private" default:"false" doc:"Ask about addresses of private use and loopback too. For labs."`
	Test    string   `toml:"test" doc:"Entries that show that the list works: \"LISTED UNLISTED\", or off. Empty: those of the known list, else those of RFC 5782: 127.0.0.2 and 127.0.0.1, or test and invalid. A list that fails is not asked."`
	Timeout Duration `toml:"timeout" default:"3s" min:"100ms" max:"30s" doc:"Patience with one question. A list that does not answer counts nothing."`
}
