package interop

import (
	"strings"
	"testing"
)

// TestDNSBLCommands asks lists of a name server on loopback: one that works, one that lists everybody, and a
// known one by a zone of its own.
func TestDNSBLCommands(t *testing.T) {
	server, config := nameServer(t, `
[[dnsbl]]
name = "bad-hosts"
zone = "bl.test"
codes = ["127.0.0.4-11 4.5 is infected", "127.0.0.2 2 sends spam"]
[[dnsbl]]
name = "mad"
zone = "mad.test"
[[dnsbl]]
name = "spamhaus-dbl"
zone = "key.dbl.test"
[[dnsbl]]
name = "good"
zone = "wl.test"
allow = true
weight = 3
test = "off"
`)
	server.Addr("2.0.0.127.bl.test", "127.0.0.2")
	server.Addr("7.100.51.198.bl.test", "127.0.0.5")
	server.TXT("7.100.51.198.bl.test", "see https://bl.test/?198.51.100.7")
	server.Addr("7.100.51.198.wl.test", "127.0.0.2")
	server.Addr("*.mad.test", "127.0.0.2")
	server.Addr("dbltest.com.key.dbl.test", "127.0.1.2")
	server.Addr("spam.example.key.dbl.test", "127.0.1.4")
	for _, c := range []struct {
		claim string
		args  []string
		want  []string
	}{
		{"lists and how they fare", []string{"list"}, []string{"bad-hosts     on", "mad           off", "it lists 127.0.0.1, which no list may", "spamhaus-dbl  on", "good          on"}},
		{"an address", []string{"check", "198.51.100.7"}, []string{"bad-hosts  198.51.100.7  127.0.0.5    +4.5  is infected: see https://bl.test/?198.51.100.7",
			"good       198.51.100.7  127.0.0.2    -3.0  the list good speaks for it", "mad was not asked: it lists 127.0.0.1"}},
		{"a domain", []string{"check", "www.spam.example"}, []string{"spamhaus-dbl  spam.example  127.0.1.4    +6.0  is a domain of phishing"}},
		{"an address that no list has", []string{"check", "198.51.100.8"}, []string{"no list has an entry"}},
		{"JSON", []string{"check", "198.51.100.7", "--json"}, []string{`"list":"bad-hosts"`, `"weight":4.5`, `"text":"see https://bl.test`}},
		{"known lists", []string{"list", "--known"}, []string{"spamhaus-zen", "https://www.dnswl.org/"}},
	} {
		out, status := command{args: append([]string{binary, "--config", config, "dnsbl"}, c.args...)}.run(t)
		for _, want := range c.want {
			if status != 0 || !strings.Contains(out, want) {
				t.Errorf("%s: status %d, no %q in\n%s", c.claim, status, want, out)
			}
		}
	}
}

// TestDNSBLMistakesAreTold loads configurations that are wrong, a claim each.
func TestDNSBLMistakesAreTold(t *testing.T) {
	for section, want := range map[string]string{
		`name = "unknown"`: "zone is missing",
		"name = \"x\"\nzone = \"bl.test\"\ncodes = [\"10.0.0.1 x\"]":                  "answers of lists begin with 127",
		"name = \"x\"\nzone = \"bl.test\"\nasks = [\"url\"]":                          "cannot be asked about the url",
		"name = \"x\"\nzone = \"bl.test\"\nkind = \"mx\"":                             "neither ip nor domain",
		"name = \"x\"\nzone = \"bl.test\"\ntest = \"a b c\"":                          "neither off nor two entries",
		"name = \"x\"\nzone = \"bl.test\"\nweight = -2":                               "allow = true",
		"name = \"x\"\nzone = \"a.test\"\n[[dnsbl]]\nname = \"x\"\nzone = \"b.test\"": "two lists are called",
	} {
		_, config := nameServer(t, "[[dnsbl]]\n"+section+"\n")
		out, status := command{args: []string{binary, "--config", config, "config", "check"}}.run(t)
		if status == 0 || !strings.Contains(out, want) {
			t.Errorf("%s: status %d, no %q in\n%s", section, status, want, out)
		}
	}
}
