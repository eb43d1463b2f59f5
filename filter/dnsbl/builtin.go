package dnsbl

import "strings"

// A Builtin is a list whose definition we know. None is asked unless the configuration names it: their
// operators have terms, and what they block is for who runs a node to decide.
type Builtin struct {
	Config
	About string // what is listed
	Terms string // where the operator says who may ask
}

// Builtins returns the lists that we know, by name.
func Builtins() []Builtin {
	return []Builtin{
		{address("spamhaus-zen", "zen.spamhaus.org",
			"127.0.0.2 4 sends spam, or serves those who do (SBL)",
			"127.0.0.3 4 sends spam of many addresses (CSS)",
			"127.0.0.4-7 5 is infected or open to abuse (XBL)",
			"127.0.0.9 6 is in a network that criminals hold (DROP)",
			"127.0.0.10-11 3 is a customer's line that should send no mail itself (PBL)"),
			"addresses that send spam, are infected, or are lines of customers", "https://www.spamhaus.org/blocklists/dnsbl-fair-use-policy/"},
		{tested(domain("spamhaus-dbl", "dbl.spamhaus.org",
			"127.0.1.255 unusable it was asked about an address",
			"127.0.1.2 4 is a domain of spam",
			"127.0.1.4 6 is a domain of phishing",
			"127.0.1.5-6 6 is a domain of malware",
			"127.0.1.102-106 2 is a good domain that is abused"), "dbltest.com", "example.com"),
			"domains in spam, phishing and malware", "https://www.spamhaus.org/blocklists/dnsbl-fair-use-policy/"},
		{address("spamcop", "bl.spamcop.net", "127.0.0.2 2 was reported for spam of late"),
			"addresses that users reported for spam", "https://www.spamcop.net/bl.shtml"},
		{address("psbl", "psbl.surriel.com", "127.0.0.2 2 sent mail to addresses that nobody uses"),
			"addresses that wrote to spam traps", "https://psbl.org/"},
		{address("barracuda", "b.barracudacentral.org", "127.0.0.2 2 has sent spam"),
			"addresses that sent spam; asks for registration", "https://www.barracudacentral.org/rbl"},
		{tested(domain("uribl", "multi.uribl.com",
			"127.0.0.1 unusable our resolver is not allowed to ask, or asks too much",
			"127.0.0.&2 4 is a domain of spam",
			"127.0.0.&4 0.5 is a domain of bulk mail that not everybody wants",
			"127.0.0.&8 1 is a new domain that may be one of spam"), "test.uribl.com", "example.com"),
			"domains in links of spam", "https://uribl.com/datafeed.shtml"},
		{tested(domain("surbl", "multi.surbl.org",
			"127.0.0.1 unusable our resolver is not allowed to ask",
			"127.0.0.&8 6 is a site of phishing",
			"127.0.0.&16 6 is a site of malware",
			"127.0.0.&64 4 is a site in spam",
			"127.0.0.&128 3 is a site that was broken into"), "surbl-org-permanent-test-point.com", "example.com"),
			"sites in links of spam, phishing and malware", "https://surbl.org/usage-policy"},
		{welcome(address("dnswl", "list.dnswl.org",
			"127.0.0.255 unusable our resolver is not allowed to ask",
			"127.0.*.0 0 is known, and not known for spam",
			"127.0.*.1 1 seldom sends spam",
			"127.0.*.2 2 hardly ever sends spam",
			"127.0.*.3 4 never sends spam")),
			"addresses of good mail servers", "https://www.dnswl.org/?page_id=9"},
	}
}

// Known returns the Builtin of a name.
func Known(name string) (Builtin, bool) {
	for _, b := range Builtins() {
		if strings.EqualFold(b.Name, name) {
			return b, true
		}
	}
	return Builtin{}, false
}

func address(name, zone string, codes ...string) Config {
	c := Config{Name: name, Zone: zone, Weight: 2}
	for _, text := range codes {
		code, err := ParseCode(text)
		if err != nil {
			panic(err) // a mistake in this file
		}
		c.Codes = append(c.Codes, code)
	}
	return c
}

func domain(name, zone string, codes ...string) Config {
	c := address(name, zone, codes...)
	c.Domains = true
	return c
}

func tested(c Config, listed, unlisted string) Config {
	c.Test = Test{Listed: listed, Unlisted: unlisted}
	return c
}

func welcome(c Config) Config {
	c.Allow = true
	return c
}
