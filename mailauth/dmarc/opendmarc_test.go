package dmarc

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-milter"
	theirs "github.com/emersion/go-msgauth/dmarc"
)

// peer returns the path of a program of others, or skips: with POSTHASTE_REQUIRE_PEERS=1 it fails.
func peer(t *testing.T, program, debian string) string {
	t.Helper()
	for _, name := range []string{program, "/usr/sbin/" + program} { // sbin is not in everybody's PATH
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("POSTHASTE_REQUIRE_PEERS") == "1" {
		t.Fatalf("%s is not installed: apt-get install %s", program, debian)
	}
	t.Skipf("SKIPPED PEER: %s is not installed: apt-get install %s", program, debian)
	return ""
}

// An openDMARC is opendmarc as a milter, over the same DNS data as ours.
type openDMARC struct{ client *milter.Client }

func startOpenDMARC(t *testing.T, records []string) *openDMARC {
	t.Helper()
	program := peer(t, "opendmarc", "opendmarc")
	dir := t.TempDir()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	free.Close()
	var data, suffixes strings.Builder
	for i := 0; i < len(records); i += 2 {
		fmt.Fprintf(&data, "%s %s\n", records[i], records[i+1])
	}
	suffixes.WriteString("// the suffixes of this test\nexample\nbank.example\n")
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	conf := file("conf", fmt.Sprintf("TestDNSData %s\nPublicSuffixList %s\nTrustedAuthservIDs mail.north.test\nAuthservID odm.test\nRejectFailures false\nIgnoreHosts %s\nSocket inet:%d@127.0.0.1\nDNSTimeout 1\n",
		file("dns", data.String()), file("psl", suffixes.String()), file("ignore", ""), port))
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, program, "-f", "-c", conf)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); cmd.Wait() })
	address := fmt.Sprintf("127.0.0.1:%d", port)
	for range 500 {
		if nc, err := net.Dial("tcp", address); err == nil {
			nc.Close()
			break
		}
		time.Sleep(20 * time.Millisecond) // a program of others, whose start nothing tells
	}
	return &openDMARC{milter.NewClientWithOptions("tcp", address, milter.ClientOptions{
		ActionMask: milter.OptAddHeader | milter.OptChangeHeader | milter.OptQuarantine, ReadTimeout: time.Minute, WriteTimeout: time.Minute})}
}

var dmarcResult = regexp.MustCompile(`dmarc=([a-z]+)`)

// verdict asks opendmarc about a message.
func (o *openDMARC) verdict(t *testing.T, c differential) string {
	t.Helper()
	s, err := o.client.Session()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	check := func(_ *milter.Action, err error) {
		if err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
	}
	check(s.Conn("client.test", milter.FamilyInet, 25, "192.0.2.9"))
	check(s.Helo("client.test"))
	s.Macros(milter.CodeMail, "i", "Q1")
	sender := c.spf
	if sender == "" {
		sender = "nobody.example"
	}
	check(s.Mail("a@"+sender, nil))
	check(s.Rcpt("b@north.test", nil))
	spf, dkim := "fail", "dkim=none"
	if c.spf != "" {
		spf = "pass"
	}
	if c.dkim != "" {
		dkim = "dkim=pass header.d=" + c.dkim
	}
	for _, f := range [][2]string{{"Authentication-Results", fmt.Sprintf("mail.north.test; spf=%s smtp.mailfrom=%s; %s", spf, sender, dkim)},
		{"From", "a@" + c.author}, {"To", "b@north.test"}, {"Date", "Mon, 1 Jan 2024 00:00:00 +0000"}, {"Message-ID", "<1@x.test>"}, {"Subject", "x"}} {
		check(s.HeaderField(f[0], f[1]))
	}
	check(s.HeaderEnd())
	changes, _, err := s.End()
	if err != nil {
		t.Fatalf("%+v: %v", c, err)
	}
	for _, m := range changes {
		if found := dmarcResult.FindStringSubmatch(m.HeaderValue); found != nil {
			return found[1]
		}
	}
	return "silence"
}

// A differential is a message, and why opendmarc may see it in another way.
type differential struct{ author, spf, dkim, accepted string }

// TestSameVerdictsAsOpenDMARC compares with an implementation of RFC 7489. The differences that are
// accepted come from what RFC 9989 changed.
func TestSameVerdictsAsOpenDMARC(t *testing.T) {
	const walk = "RFC 7489 looks at the domain and at its Organizational Domain only, RFC 9989 at all between"
	const strict = "opendmarc takes a domain below that of From for the same in strict mode, where both RFCs want no other"
	const psd = "psd is new in RFC 9989"
	const noPolicy = "without p RFC 7489 takes the record for none, RFC 9989 section 4.10.1 for p=none where there is rua"
	var records []string
	var cases []differential
	for i, record := range []string{"v=DMARC1; p=reject", "v=DMARC1; p=none; sp=reject", "v=DMARC1; p=quarantine; adkim=s", "v=DMARC1; p=reject; aspf=s; adkim=s", "v=DMARC1;p=reject;pct=50;fo=1;x=y;aspf=s"} {
		org := fmt.Sprintf("d%d.example", i)
		sub := "sub." + org
		records = append(records, "_dmarc."+org, record)
		if i%2 == 1 {
			records = append(records, "_dmarc."+sub, "v=DMARC1; p=quarantine")
		}
		names := []string{"", org, sub, "other." + org, "else.example"}
		for _, author := range []string{org, sub} {
			for _, spf := range names {
				for _, dkim := range names {
					c := differential{author: author, spf: spf, dkim: dkim}
					if author == org && strings.Contains(record, "=s") {
						c.accepted = strict
					}
					cases = append(cases, c)
				}
			}
		}
	}
	records = append(records, "_dmarc.mid.deep.example", "v=DMARC1; p=reject", "_dmarc.own.split.example", "v=DMARC1; p=reject; psd=n", "_dmarc.split.example", "v=DMARC1; p=reject",
		"_dmarc.bank.example", "v=DMARC1; p=reject; psd=y", "_dmarc.nop.example", "v=DMARC1; rua=mailto:a@nop.example")
	cases = append(cases, differential{"a.mid.deep.example", "", "", walk}, differential{"a.mid.deep.example", "mid.deep.example", "", walk},
		differential{"split.example", "", "x.own.split.example", psd}, differential{"mega.bank.example", "", "", psd}, differential{"nop.example", "", "", noPolicy},
		differential{"nothing.example", "nothing.example", "", ""}, differential{"mega.bank.example", "mega.bank.example", "", psd})
	if testing.Short() {
		t.Skip("asks opendmarc 260 times")
	}
	peer := startOpenDMARC(t, records)
	r, _ := newWorld(t, records...)
	same, accepted := 0, 0
	for _, c := range cases {
		in := Input{From: []string{c.author}, SPF: "fail"}
		if c.spf != "" {
			in.SPF, in.SPFDomain = "pass", c.spf
		}
		if c.dkim != "" {
			in.DKIM = []string{c.dkim}
		}
		ours, want := string(Evaluate(t.Context(), r, in).Verdict), peer.verdict(t, c)
		switch {
		case ours == want:
			same++
		case c.accepted != "":
			accepted++
			t.Logf("accepted: %+v: we %s, opendmarc %s", c, ours, want)
		default:
			t.Errorf("%+v: we %s, opendmarc %s", c, ours, want)
		}
	}
	t.Logf("%d verdicts are the same, %d differ as accepted", same, accepted)
}

// TestRecordsAsGoMsgauthReadsThem compares the records that are good in both RFCs.
func TestRecordsAsGoMsgauthReadsThem(t *testing.T) {
	n := 0
	for _, p := range []string{"none", "quarantine", "reject"} {
		for _, sp := range []string{"", "; sp=none", "; sp=reject"} {
			for _, align := range []string{"", "; adkim=s", "; aspf=s; adkim=r", "; adkim=s; aspf=s"} {
				for _, more := range []string{"", ";", "; fo=1:d:s", "; rua=mailto:a@x.example,mailto:b@y.example; ruf=mailto:c@x.example", "; pct=20; ri=3600; rf=afrf"} {
					text := "v=DMARC1; p=" + p + sp + align + more
					want, err := theirs.Parse(text)
					got, ok := ParseRecord(text)
					if err != nil || !ok {
						t.Errorf("%s: %v, %v", text, err, ok)
						continue
					}
					theirSub := string(want.SubdomainPolicy)
					ourSub := got.Subdomains.String()
					if sp == "" {
						theirSub, ourSub = "", "" // they give p instead
					}
					if got.Policy.String() != string(want.Policy) || ourSub != theirSub || got.StrictDKIM != (want.DKIMAlignment == theirs.AlignmentStrict) ||
						got.StrictSPF != (want.SPFAlignment == theirs.AlignmentStrict) || strings.Join(got.Aggregate, ",") != strings.Join(want.ReportURIAggregate, ",") ||
						strings.Join(got.Failure, ",") != strings.Join(want.ReportURIFailure, ",") || len(got.Problems) > 0 {
						t.Errorf("%s: we %+v, they %+v", text, got, want)
					}
					n++
				}
			}
		}
	}
	t.Logf("%d records", n)
}
