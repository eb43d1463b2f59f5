package sim

import (
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf16"

	"posthaste/dns/dnstest"
)

const gtube = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"

// bombs returns what is thrown at a node.
func bombs() (all []bomb) {
	return append(append(append(all, fileBombs()...), shapeBombs()...), append(proofBombs(), dnsBombs()...)...)
}

func fileBombs() []bomb {
	zeros := small(4<<20, 256<<20)
	report := func() string {
		return strings.NewReplacer("for you", "Report domain: north.test", "application/octet-stream", "application/gzip").Replace(
			attached("evil.test!north.test!1!2.xml.gz", gzipBomb(zeros)))
	}
	return []bomb{
		{name: "zip of 10 files of zeros", content: func() string { return attached("a.zip", zipBomb(10, zeros, 0)) }},
		{name: "zips in zips, 5 levels of 10", content: func() string { return attached("a.zip", zipBomb(2, 1<<20, small(2, 4))) }},
		{name: "gzip of zeros", content: func() string { return attached("a.gz", gzipBomb(zeros)) }},
		{name: "zip of thousands of empty files", content: func() string { return attached("a.zip", zipBomb(small(2000, 10_000), 0, 0)) }},
		{name: "DMARC report, gzip of zeros", to: []string{"reports@north.test"}, content: report},
		{name: "feedback report, gzip of zeros", to: []string{"abuse@north.test"}, content: report},
	}
}

func shapeBombs() []bomb {
	line := strings.Repeat("x", 1<<20)
	many := small(20, 1000)
	var crowd []string
	for i := range many {
		crowd = append(crowd, fmt.Sprintf("user%d@north.test", i))
	}
	return []bomb{
		{name: "10,000 nested parts", content: func() string { return nested(10_000) }},
		{name: "100,000 attachments", content: func() string {
			return bombHead + "Content-Type: multipart/mixed; boundary=b\r\n" + repeat(small(5000, 100_000), func(i int) string {
				return fmt.Sprintf("\r\n--b\r\nContent-Disposition: attachment; filename=f%d.pdf.exe\r\n\r\nMZ", i)
			}) + "\r\n--b--\r\n"
		}},
		{name: "30 messages within each other", content: func() string {
			return strings.Repeat(bombHead+"Content-Type: message/rfc822\r\n\r\n", 30) + "Hello.\r\n"
		}},
		{name: "a header line of 1 MB", content: withHeader("X-Long: " + line + "\r\n")},
		{name: "a subject and an author of 1 MB", content: func() string {
			return "From: " + line + " <bob@evil.test>\r\nSubject: " + line + "\r\n\r\nHello.\r\n"
		}},
		{name: "header lines of 1 MB, 40 of them", content: func() string {
			return bombHead + repeat(small(3, 40), func(i int) string { return fmt.Sprintf("X-Long-%d: %s\r\n", i, line) }) + "\r\nHello.\r\n"
		}},
		{name: "49,000 header fields", content: withHeader(repeat(49_000, func(i int) string { return fmt.Sprintf("X-F%d: v\r\n", i) }))},
		{name: "49,000 results that claim to be ours", content: withHeader(strings.Repeat("Authentication-Results: mx.north.test; dmarc=pass\r\n", 49_000))},
		{name: "49,000 words of results in one field", content: withHeader("Authentication-Results: " + strings.Repeat("((\"", 16_000) + "\r\n")},
		{name: "From with 1,000 addresses", content: func() string {
			return strings.Replace(bombHead, "Bob <bob@evil.test>", "x@evil.test"+repeat(1000, func(i int) string { return fmt.Sprintf(",\r\n x@d%d.test", i) }), 1) + "\r\nHello.\r\n"
		}},
		{name: "encoded words, 500 KB", content: func() string {
			words := strings.Repeat("=?utf-8?B?0LDQsNCw?=\r\n ", 25_000)
			return "From: " + words + "<bob@evil.test>\r\nSubject: " + words + "x\r\nTo: " + words + "<ann@north.test>\r\n\r\nHello.\r\n"
		}},
		{name: "20,000 links", content: withHeader("Content-Type: text/html\r\n\r\n" + repeat(20_000, func(i int) string {
			return fmt.Sprintf("<a href=\"http://a%d.d%d.test/%%68?u=http://b.test\">http://bank.test</a>\r\n", i, i)
		}))},
		{name: "HTML, 100,000 open tags", content: withHeader("Content-Type: text/html\r\n\r\n" + strings.Repeat("<div><a href=x><b", 50_000))},
		{name: "a text of 8 MB without an end of line", content: withHeader("Content-Type: text/plain\r\n\r\n" + strings.Repeat("viagra ", small(2, 8)<<17))},
		{name: fmt.Sprintf("%d recipients, each with a model", many), to: crowd, content: withHeader("")},
		{name: "GTUBE in UTF-16, base64", codes: "5", content: withHeader("Content-Type: text/plain; charset=utf-16be\r\nContent-Transfer-Encoding: base64\r\n\r\n" + utf16Base64(gtube))},
		{name: "a header of more than 50,000 fields", codes: "5", content: withHeader(strings.Repeat("X: y\r\n", 60_000))},
		{name: "GTUBE in quoted-printable, each byte", codes: "5", content: withHeader("Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" +
			repeat(len(gtube), func(i int) string { return fmt.Sprintf("=%02X=\r\n", gtube[i]) }))},
	}
}

func utf16Base64(s string) string {
	var b []byte
	for _, c := range utf16.Encode([]rune(s)) {
		b = append(b, byte(c>>8), byte(c))
	}
	return base64.StdEncoding.EncodeToString(b)
}

func proofBombs() []bomb {
	body := strings.Repeat(strings.Repeat("text ", 14)+"\r\n", small(1<<20, 10<<20)/72)
	return []bomb{
		{name: "50 DKIM signatures", zones: signedZones, content: func() string { return signed(50, "Hello.\r\n", false) }},
		{name: "50 DKIM signatures, each another l=", zones: signedZones, content: func() string { return signed(50, body, true) }},
		{name: "50 ARC sets, a subject of 300 KB", zones: signedZones, content: func() string { return sealed(50, 300<<10) }},
		{name: "SPF that includes itself", zones: func(z *dnstest.Server) { z.TXT("evil.test", "v=spf1 include:evil.test -all") }, content: withHeader("")},
		{name: "SPF of 10,000 terms", zones: func(z *dnstest.Server) {
			z.TXT("evil.test", "v=spf1 "+strings.Repeat("a:%{i}.x.test ", 1100)+"-all")
		}, content: withHeader("")},
		{name: "SPF that finds nothing, macros", zones: func(z *dnstest.Server) {
			z.TXT("evil.test", "v=spf1 "+repeat(20, func(i int) string { return fmt.Sprintf("exists:%%{ir}.%%{l}.%%{p}.%d.void.test ", i) })+"-all exp=evil.test")
		}, content: withHeader("")},
		{name: "SPF redirects in a ring of 30", zones: func(z *dnstest.Server) {
			z.TXT("evil.test", "v=spf1 redirect=r0.test")
			for i := range 30 {
				z.TXT(fmt.Sprintf("r%d.test", i), fmt.Sprintf("v=spf1 mx redirect=r%d.test", (i+1)%30))
				for j := range 40 {
					z.MX(fmt.Sprintf("r%d.test", i), uint16(j), fmt.Sprintf("m%d.r%d.test", j, i))
				}
			}
		}, content: withHeader("")},
	}
}

func dnsBombs() []bomb {
	fault := func(f dnstest.Fault) func(*dnstest.Server) {
		return func(z *dnstest.Server) { z.SetFault(".", f) }
	}
	links := withHeader("Content-Type: text/html\r\n\r\n" + repeat(100, func(i int) string { return fmt.Sprintf("<a href=http://h%d.test/>x</a>\r\n", i) }))
	return []bomb{
		{name: "DNS: no name exists, 100 links", content: links},
		{name: "DNS: SERVFAIL for all", zones: fault(dnstest.Fault{Kind: dnstest.ServFail}), codes: "2", content: links},
		{name: "DNS: REFUSED for all", zones: fault(dnstest.Fault{Kind: dnstest.Refuse}), codes: "2", content: links},
		{name: "DNS: garbage for all", zones: fault(dnstest.Fault{Kind: dnstest.Garbage}), codes: "2", content: links},
		{name: "DNS: TXT of 60 KB everywhere", zones: func(z *dnstest.Server) {
			for _, name := range []string{"evil.test", "_dmarc.evil.test", "s0._domainkey.evil.test"} {
				z.TXT(name, "v=spf1 v=DMARC1; p=reject; v=DKIM1; p="+strings.Repeat("A", 59_000))
			}
		}, content: func() string { return signed(1, "Hello.\r\n", false) }},
		{name: "DNS: CNAMEs in a ring", zones: func(z *dnstest.Server) {
			for _, name := range []string{"evil.test", "_dmarc.evil.test", "s0._domainkey.evil.test"} {
				z.CNAME(name, "x."+name)
				z.CNAME("x."+name, name)
			}
		}, content: func() string { return signed(1, "Hello.\r\n", false) }},
		{name: "DNS: 2,000 records at each name", zones: func(z *dnstest.Server) {
			for i := range 2000 {
				z.TXT("evil.test", fmt.Sprintf("v=spf1 ip4:192.0.2.1 x%d", i))
				z.TXT("_dmarc.evil.test", fmt.Sprintf("v=DMARC1; p=none; x=%d", i))
				z.TXT("s0._domainkey.evil.test", fmt.Sprintf("v=DKIM1; p=AAAA%d", i))
			}
		}, content: func() string { return signed(1, "Hello.\r\n", false) }},
	}
}
