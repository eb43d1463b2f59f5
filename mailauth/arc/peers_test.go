package arc

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	mrand "math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"posthaste/mailauth/internal/peertest"
	"posthaste/message"
)

var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func sealer() *Sealer {
	return &Sealer{AuthServ: "mx.north.test", Domain: "north.test", Selector: "s", Key: testKey()}
}

func records(t testing.TB) map[string]string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&testKey().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"s._domainkey.north.test": "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der)}
}

const letter = "From: ann@south.test\r\nTo: list@north.test\r\nSubject: An example\r\nDate: Fri, 15 Jan 2027 08:00:00 +0000\r\n" +
	"Message-ID: <1@south.test>\r\nMIME-Version: 1.0\r\n\r\nHello all,\r\n\r\nall is well.\r\n"

// stripped returns content without the results that our own hosts noted: each hop removes those that came.
func stripped(content []byte) []byte {
	h := message.ParseHeader(content)
	var out []byte
	for _, f := range h.Fields() {
		if !f.Is("Authentication-Results") {
			out = append(out, f.Raw()...)
		}
	}
	return append(append(out, "\r\n"...), content[len(h.Raw()):]...)
}

// forward adds results and a set to a message, as a host does that forwards it.
func forward(t testing.TB, content []byte) []byte {
	t.Helper()
	v := NewVerifier(resolver(t, records(t)))
	before := v.Verify(t.Context(), message.ParseHeader(content), content)
	content = append([]byte("Authentication-Results: mx.north.test; "+before.Resinfo()+
		";\r\n spf=pass smtp.mailfrom=ann@south.test; dkim=pass (2048-bit key) header.d=south.test\r\n"), stripped(content)...)
	fields, err := sealer().Seal(content, before, time.Unix(1_700_000_000, 0))
	if err != nil {
		t.Fatal(err)
	}
	return append(fields, content...)
}

func TestDkimpyValidatesWhatWeSeal(t *testing.T) {
	content := []byte(letter)
	var jobs []peertest.Job
	for range 4 {
		content = forward(t, content)
		jobs = append(jobs, peertest.Job{Do: "arcverify", Content: content, Records: records(t)})
	}
	for i, a := range peertest.Dkimpy(t, jobs) {
		if a.CV != "pass" {
			t.Errorf("%d sets: %+v\n%s", i+1, a, jobs[i].Content)
		}
	}
}

func TestWeValidateWhatDkimpySeals(t *testing.T) {
	key := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(testKey())}))
	v := NewVerifier(resolver(t, records(t)))
	// A chain of theirs, then of ours above, then of theirs again.
	content := []byte("Authentication-Results: mx.north.test; arc=none; spf=pass smtp.mailfrom=ann@south.test\r\n" + letter)
	for i := range 3 {
		if i == 1 {
			content = forward(t, content)
		} else {
			a := peertest.Dkimpy(t, []peertest.Job{{Do: "arcsign", Content: content, Domain: "north.test", Selector: "s", Key: key, AuthServ: "mx.north.test"}})[0]
			if a.Error != "" {
				t.Fatal(a.Error)
			}
			content = append(a.Fields, content...)
		}
		c := v.Verify(t.Context(), message.ParseHeader(content), content)
		if c.Result != Pass || len(c.Sets) != i+1 {
			t.Fatalf("%d sets: %+v\n%s", i+1, c, content)
		}
		content = append([]byte("Authentication-Results: mx.north.test; arc=pass; spf=pass smtp.mailfrom=ann@south.test\r\n"), stripped(content)...)
	}
}

func TestMutationsAgreeWithDkimpy(t *testing.T) {
	rnd := mrand.New(mrand.NewPCG(7, 8))
	whole := forward(t, forward(t, []byte(letter)))
	var jobs []peertest.Job
	for range 300 {
		content := []byte(string(whole))
		switch at := rnd.IntN(len(content)); {
		case content[at] == '\r' || content[at] == '\n':
			content = append(content, "\r\n"...)
		case rnd.IntN(3) == 0:
			content = []byte(strings.Replace(string(content), " ", "  ", rnd.IntN(20)))
		default:
			content[at] = "abcXYZ019:;=+/"[rnd.IntN(14)]
		}
		jobs = append(jobs, peertest.Job{Do: "arcverify", Content: content, Records: records(t)})
	}
	v := NewVerifier(resolver(t, records(t)))
	results := map[string]int{}
	for i, a := range peertest.Dkimpy(t, jobs) {
		c := v.Verify(t.Context(), message.ParseHeader(jobs[i].Content), jobs[i].Content)
		if (a.CV == "pass") != (c.Result == Pass) {
			t.Errorf("mutation %d: we say %s (%s), dkimpy %+v\n%q", i, c.Result, c.Reason, a, jobs[i].Content)
		}
		results[fmt.Sprint(c.Result)]++
	}
	t.Log(results)
}
