package dkim

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"posthaste/dns/dnstest"
	"posthaste/mailauth/internal/sig"
	"posthaste/message"
)

// craft signs content with exactly those tags: $BH stands for the hash of the body, b= is added behind them.
func craft(t testing.TB, key SigningKey, tags string, content []byte) []byte {
	t.Helper()
	parsed, err := sig.ParseTags(strings.ReplaceAll(tags, "$BH", ""))
	if err != nil {
		t.Fatal(err)
	}
	header, body, err := sig.ReadCanon(parsed)
	if err != nil {
		t.Fatal(err)
	}
	length, err := parsed.Number("l", sig.Whole)
	if err != nil {
		t.Fatal(err)
	}
	h := message.ParseHeader(content)
	e := []sig.Extent{{Canon: body, Length: length}}
	sig.HashBodies(content[len(h.Raw()):], e)
	tags = strings.ReplaceAll(tags, "$BH", base64.StdEncoding.EncodeToString(e[0].Sum[:]))
	field := []byte("DKIM-Signature: " + tags + "; b=")
	names, _ := parsed.Get("h")
	hashed := sig.NewFields(h).AppendSigned(nil, header, sig.SplitNames(names))
	sum := sha256.Sum256(header.AppendSignature(hashed, append(field, "\r\n"...)))
	signature, err := sig.Sign(key.Private, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	field = append(field, base64.StdEncoding.EncodeToString(signature)...)
	return append(append(field, "\r\n"...), content...)
}

const usual = "v=1; a=ed25519-sha256; d=north.test; s=e; h=From:To; bh=$BH"

func TestResults(t *testing.T) {
	_, records := signer(t)
	e := testKeys()[1]
	good := records["e._domainkey.north.test"]
	x := func(d time.Duration) string { return fmt.Sprint(now.Add(d).Unix()) }
	for _, c := range []struct {
		claim, tags, record string
		want                Result
		reason              string
	}{
		{"a plain signature passes", usual, good, Pass, ""},
		{"simple by default", usual, good, Pass, ""},
		{"relaxed header alone", usual + "; c=relaxed", good, Pass, ""},
		{"simple header, relaxed body", usual + "; c=simple/relaxed", good, Pass, ""},
		{"tags in any order with space", "h = From : To;\r\n bh=$BH;\r\n\ts=e; d=North.TEST; a=ed25519-sha256 ; v=1", good, Pass, ""},
		{"unknown tags are ignored", usual + "; zz=what; r=y", good, Pass, ""},
		{"a key of any service", usual, good + "; s=*", Pass, ""},
		{"a key of services, mail among them", usual, good + "; s=x:email", Pass, ""},
		{"g= is ignored", usual, good + "; g=nobody", Pass, ""},
		{"a record without version", usual, strings.TrimPrefix(good, "v=DKIM1; "), Pass, ""},
		{"an identity of the domain", usual + "; i=ann@north.test", good, Pass, ""},
		{"an identity below it", usual + "; i=ann@mail.north.test", good, Pass, ""},
		{"an identity with coded bytes", usual + "; i=a=3Bb@north.test", good, Pass, ""},
		{"not yet expired", usual + "; t=" + x(-time.Hour) + "; x=" + x(time.Second), good, Pass, ""},
		{"expired within our clock's error", usual + "; x=" + x(-time.Minute), good, Pass, ""},
		{"made a little in the future", usual + "; t=" + x(time.Hour), good, Pass, ""},
		{"asked by DNS", usual + "; q=other:dns/txt", good, Pass, ""},

		{"expired", usual + "; x=" + x(-minClock), good, Policy, "expired"},
		{"made far in the future", usual + "; t=" + x(MaxSkew+time.Second), good, Policy, "future"},
		{"expired before it was made", usual + "; t=100; x=99", good, Neutral, "expires before"},
		{"an identity of others", usual + "; i=ann@south.test", good, PermError, "is not one of"},
		{"an identity that only ends alike", usual + "; i=ann@evilnorth.test", good, PermError, "is not one of"},
		{"an identity above", "v=1; a=ed25519-sha256; d=a.north.test; s=e; h=From; bh=$BH; i=@north.test", good, PermError, "is not one of"},
		{"an identity below, for a strict key", usual + "; i=ann@mail.north.test", good + "; t=s", PermError, "t=s"},
		{"From is not covered", "v=1; a=ed25519-sha256; d=north.test; s=e; h=To; bh=$BH", good, PermError, "From"},
		{"rsa-sha1", strings.Replace(usual, "ed25519-sha256", "rsa-sha1", 1), good, PermError, "rsa-sha1"},
		{"an unknown algorithm", strings.Replace(usual, "ed25519-sha256", "rsa-md5", 1), good, Neutral, "unknown"},
		{"another algorithm than the key", strings.Replace(usual, "ed25519-sha256", "rsa-sha256", 1), good, PermError, "the key is of type ed25519"},
		{"version 2", strings.Replace(usual, "v=1", "v=2", 1), good, Neutral, "version"},
		{"no version", strings.Replace(usual, "v=1; ", "", 1), good, Neutral, "version"},
		{"an unknown query", usual + "; q=http/txt", good, Neutral, "unknown way"},
		{"no domain", strings.Replace(usual, "d=north.test; ", "", 1), good, Neutral, "name no key"},
		{"no selector", strings.Replace(usual, "s=e; ", "", 1), good, Neutral, "name no key"},
		{"a selector with a slash", strings.Replace(usual, "s=e", "s=../e", 1), good, Neutral, "name no key"},
		{"no hash of the body", strings.Replace(usual, "bh=$BH", "bh=", 1), good, Neutral, "incomplete"},
		{"no header fields", strings.Replace(usual, "h=From:To", "h=", 1), good, Neutral, "h="},
		{"more than the body", usual + "; l=100000", good, PermError, "l="},
		{"no key", usual, "", PermError, "no key"},
		{"a revoked key", usual, "v=DKIM1; p=", PermError, "revoked"},
		{"a record without key", usual, "v=DKIM1; k=ed25519", PermError, "no p="},
		{"a record of another kind", usual, "v=spf1 -all", PermError, "version"},
		{"a key of another length", usual, "v=DKIM1; k=ed25519; p=AAAA", PermError, "no Ed25519 key"},
		{"a key of another kind", usual, "v=DKIM1; k=dsa; p=AAAA", PermError, "unknown type"},
		{"a key for other hashes", usual, good + "; h=sha1", PermError, "h="},
		{"a key for other services", usual, good + "; s=chat", PermError, "s="},
		{"another key", usual, "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(make([]byte, 32)), Fail, "the key is another"},
		{"an RSA key that is none", strings.Replace(usual, "ed25519-sha256", "rsa-sha256", 1), "v=DKIM1; p=AAAA", PermError, "no RSA key"},
	} {
		t.Run(c.claim, func(t *testing.T) {
			s := dnstest.New()
			if c.record != "" {
				s.TXT("e._domainkey.north.test", c.record)
			}
			content := craft(t, e, c.tags, []byte(letter))
			got := NewVerifier(resolverOf(t, s)).Verify(t.Context(), message.ParseHeader(content), content, now)
			if len(got) != 1 || got[0].Result != c.want || !strings.Contains(got[0].Reason, c.reason) || (c.want == Pass) != (got[0].Reason == "") {
				t.Errorf("%+v, want %s because of %q", got, c.want, c.reason)
			}
		})
	}
}

func TestMalformedSignaturesAreNeutral(t *testing.T) {
	_, records := signer(t)
	for _, value := range []string{
		"", ";", "v=1", "v", "v=1; v=1", "v=1;;a=b", "=1", "v=1; b=\x00", "v=1; \xff=1", "1v=1",
		"v=1; a=ed25519-sha256; d=north.test; s=e; h=From; bh=####; b=AAAA",
		"v=1; a=ed25519-sha256; d=north.test; s=e; h=From; bh=" + strings.Repeat("A", 43) + "=; b=!!",
		"v=1; a=ed25519-sha256; d=north.test; s=e; h=From; bh=" + strings.Repeat("A", 43) + "=; b=AAAA; t=-1",
		"v=1; a=ed25519-sha256; d=north.test; s=e; h=From; bh=" + strings.Repeat("A", 43) + "=; b=AAAA; x=99999999999999999999",
		"v=1; a=ed25519-sha256; d=north.test; s=e; h=From; bh=" + strings.Repeat("A", 43) + "=; b=AAAA; l=1e9",
		"v=1; a=ed25519-sha256; d=north.test; s=e; h=From; bh=" + strings.Repeat("A", 43) + "=; b=AAAA; c=loose",
		"v=1; a=ed25519-sha256; d=north.test; s=e; h=From; i=nobody; bh=" + strings.Repeat("A", 43) + "=; b=AAAA",
		strings.Repeat("a=b;", sig.MaxTags+1),
		"v=1; a=ed25519-sha256; d=north.test; s=e; b=AAAA; bh=" + strings.Repeat("A", 43) + "=; h=From" + strings.Repeat(":x", sig.MaxNames),
		"v=1; z=" + strings.Repeat("x", sig.MaxValue),
	} {
		content := []byte("DKIM-Signature: " + value + "\r\n" + letter)
		wantAll(t, verify(t, records, content), 1, Neutral)
	}
}

func TestPartIsTold(t *testing.T) {
	_, records := signer(t)
	for _, c := range []struct {
		claim    string
		l        int
		appended string
		want     Result
		left     int64
	}{
		{"all of it, by number", 28, "", Pass, 0},
		{"what was appended is told", 28, "Buy this!\r\n", Pass, 15},
		{"nothing signed", 0, "", Pass, 28},
		{"half of it", 12, "", Pass, 16},
	} {
		content := craft(t, testKeys()[1], fmt.Sprintf("%s; c=relaxed/relaxed; l=%d", usual, c.l), []byte(letter))
		got := verify(t, records, append(content, c.appended...))
		wantAll(t, got, 1, c.want)
		if got[0].Partial != c.left {
			t.Errorf("%s: %d bytes left, want %d", c.claim, got[0].Partial, c.left)
		}
	}
}

func TestTestingIsTold(t *testing.T) {
	_, records := signer(t)
	records["e._domainkey.north.test"] += "; t=x:y"
	got := verify(t, records, craft(t, testKeys()[1], usual, []byte(letter)))
	wantAll(t, got, 1, Pass)
	if !got[0].Testing || !strings.Contains(got[0].Resinfo(), "testing") {
		t.Errorf("%s: nobody hears that it is a test", got[0].Resinfo())
	}
}

// weakKey has fewer bits than may be believed. Making it needs no more than what the standard library refuses
// by default, so the record is what counts.
var weakKey = sync.OnceValue(func() string {
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		panic(err)
	}
	key.N.Rsh(key.N, 1)
	key.N.SetBit(key.N, 0, 1)
	text, err := record(&key.PublicKey)
	if err != nil {
		panic(err)
	}
	return text
})

func TestWeakKeysProveNothing(t *testing.T) {
	s, _ := signer(t)
	got := verify(t, map[string]string{"r._domainkey.north.test": weakKey()}, sign(t, s, letter))
	if got[0].Result != Policy || got[0].KeyBits != 1023 {
		t.Errorf("%s, want policy for 1023 bits", got[0].Resinfo())
	}
}

func TestADNSFailureIsTemporary(t *testing.T) {
	s, _ := signer(t)
	content := sign(t, s, letter)
	got := NewVerifier(broken{}).Verify(t.Context(), message.ParseHeader(content), content, now)
	wantAll(t, got, 2, TempError)
	if !strings.Contains(got[0].Reason, errBroken.Error()) {
		t.Errorf("reason %q", got[0].Reason)
	}
}

func TestNoSignatureIsNoResult(t *testing.T) {
	if got := verify(t, nil, []byte(letter)); got != nil {
		t.Errorf("%+v", got)
	}
}

func TestManySignatures(t *testing.T) {
	_, records := signer(t)
	e := testKeys()[1]
	content := []byte(letter)
	for i := range 60 {
		content = craft(t, e, fmt.Sprintf("%s; l=%d; c=relaxed/relaxed", usual, i%40), content)
	}
	_, r := world(t, records)
	c := &counting{Resolver: r}
	got := NewVerifier(c).Verify(t.Context(), message.ParseHeader(content), content, now)
	if len(got) != MaxReported {
		t.Errorf("%d of 60 are told of, want %d", len(got), MaxReported)
	}
	results := map[Result]int{}
	for _, v := range got {
		results[v.Result]++
	}
	if results[Pass]+results[PermError] != MaxVerified || results[Policy] != MaxReported-MaxVerified {
		t.Errorf("results %v, want %d verified and %d policy", results, MaxVerified, MaxReported-MaxVerified)
	}
	if n := c.asked.Load(); n != 1 {
		t.Errorf("one key was asked for %d times", n)
	}
}

func TestInternationalDomains(t *testing.T) {
	s, records := signer(t)
	s = &Signer{Domain: "xn--grn-ioa.test", Keys: s.Keys[1:]}
	records["e._domainkey.xn--grn-ioa.test"] = records["e._domainkey.north.test"]
	content := sign(t, s, letter)
	wantAll(t, verify(t, records, content), 1, Pass)
	content = craft(t, s.Keys[0], "v=1; a=ed25519-sha256; d=grün.test; s=e; i=änn@post.grün.test; h=From; bh=$BH", []byte(letter))
	got := verify(t, records, content)
	wantAll(t, got, 1, Pass)
	if got[0].Domain != "xn--grn-ioa.test" || got[0].Identity != "änn@post.xn--grn-ioa.test" {
		t.Errorf("domain %q, identity %q", got[0].Domain, got[0].Identity)
	}
}

func TestResinfo(t *testing.T) {
	for _, c := range []struct {
		v    Verification
		want string
	}{
		{Verification{Result: Pass, Domain: "north.test", Identity: "@north.test", Selector: "a", Algorithm: "rsa-sha256", KeyBits: 2048, Start: "dzdVyOfA"},
			"dkim=pass (2048-bit key) header.d=north.test header.i=@north.test header.s=a header.a=rsa-sha256 header.b=dzdVyOfA"},
		{Verification{Result: Fail, Domain: "north.test", Identity: "a b@north.test", Start: "a/b+c=", Reason: "say \"no\"\r\n"},
			`dkim=fail reason="say \"no\"??" header.d=north.test header.i="a b@north.test" header.b="a/b+c="`},
		{Verification{Result: Neutral, Algorithm: "x;y", Reason: "odd"}, `dkim=neutral reason="odd" header.a="x;y"`},
		{Verification{Result: None}, "dkim=none"},
	} {
		if got := c.v.Resinfo(); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestRecordsOfOtherKindsAtTheNameAreSkipped(t *testing.T) {
	s, records := signer(t)
	d, r := world(t, records)
	d.Remove("e._domainkey.north.test")
	d.TXT("e._domainkey.north.test", "v=spf1 -all")
	d.TXT("e._domainkey.north.test", records["e._domainkey.north.test"])
	content := sign(t, s, letter)
	wantAll(t, NewVerifier(r).Verify(t.Context(), message.ParseHeader(content), content, now), 2, Pass)
}
