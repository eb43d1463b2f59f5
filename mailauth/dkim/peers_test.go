package dkim

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"posthaste/mailauth/internal/peertest"
	"posthaste/message"
)

// privateText returns a key as dkimpy and opendkim read it.
func privateText(t *testing.T, k SigningKey) string {
	t.Helper()
	if key, ok := k.Private.(ed25519.PrivateKey); ok {
		return base64.StdEncoding.EncodeToString(key.Seed())
	}
	der, err := x509.MarshalPKCS8PrivateKey(k.Private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

var algorithms = map[string]string{"r": "rsa-sha256", "e": "ed25519-sha256"}

var forms = [][]string{{"simple", "simple"}, {"simple", "relaxed"}, {"relaxed", "simple"}, {"relaxed", "relaxed"}}

func TestDkimpyVerifiesWhatWeSign(t *testing.T) {
	s, records := signer(t)
	var jobs []peertest.Job
	for _, content := range peerMessages {
		jobs = append(jobs, peertest.Job{Do: "verify", Content: sign(t, s, content), Records: records})
	}
	for i, a := range peertest.Dkimpy(t, jobs) {
		if len(a.Passes) != 2 || !a.Passes[0] || !a.Passes[1] {
			t.Errorf("message %d: %+v\n%s", i, a, jobs[i].Content)
		}
	}
}

func TestWeVerifyWhatDkimpySigns(t *testing.T) {
	_, records := signer(t)
	var jobs []peertest.Job
	for _, content := range peerMessages {
		for _, key := range testKeys() {
			for _, form := range forms {
				jobs = append(jobs, peertest.Job{Do: "sign", Content: []byte(content), Domain: "north.test", Selector: key.Selector,
					Key: privateText(t, key), Algorithm: algorithms[key.Selector], Canon: form})
			}
		}
	}
	v := NewVerifier(resolverFor(t, records))
	for i, a := range peertest.Dkimpy(t, jobs) {
		if a.Error != "" {
			t.Fatalf("dkimpy cannot sign: %s", a.Error)
		}
		content := append(a.Fields, jobs[i].Content...)
		got := v.Verify(t.Context(), message.ParseHeader(content), content, farFuture)
		if len(got) != 1 || got[0].Result != Pass {
			t.Errorf("job %d, %s: %+v\n%s", i, jobs[i].Canon, got, content)
		}
	}
}

func TestMutationsAgreeWithDkimpy(t *testing.T) {
	s, records := signer(t)
	rnd := rand.New(rand.NewPCG(3, 4))
	var jobs []peertest.Job
	for i := range 1000 {
		content := mutate(rnd, sign(t, &Signer{Domain: s.Domain, Keys: s.Keys[:1+i%2]}, peerMessages[i%len(peerMessages)]))
		jobs = append(jobs, peertest.Job{Do: "verify", Content: content, Records: records})
	}
	v := NewVerifier(resolverFor(t, records))
	compared := 0
	for i, a := range peertest.Dkimpy(t, jobs) {
		content := jobs[i].Content
		var ours []bool
		for _, r := range v.Verify(t.Context(), message.ParseHeader(content), content, now) {
			ours = append(ours, r.Result == Pass)
		}
		if len(ours) != len(a.Passes) {
			continue // a header that is broken for one of us
		}
		compared++
		if fmt.Sprint(ours) != fmt.Sprint(a.Passes) && len(ours) > 0 {
			t.Errorf("mutation %d: we say %v, dkimpy %v\n%q", i, ours, a.Passes, content)
		}
	}
	if t.Logf("%d of %d could be compared", compared, len(jobs)); compared < 900 {
		t.Error("too few could be compared")
	}
}

// opendkim runs messages through opendkim and returns the results that it would add, of all signatures of
// each, and the signatures that it would add.
func opendkim(t *testing.T, config string, content []byte) string {
	t.Helper()
	program := peertest.Opendkim(t)
	dir := t.TempDir()
	conf := filepath.Join(dir, "conf")
	text := "AlwaysAddARHeader yes\nAuthservID host.test\nBackground no\nSyslog no\nRequireSafeKeys no\nMinimumKeyBits 1024\n" + config
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "message")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), program, "-x", conf, "-t", file, "-v", "-v").CombinedOutput()
	if err != nil {
		t.Logf("opendkim: %v", err)
	}
	return string(out)
}

func TestOpendkimVerifiesWhatWeSign(t *testing.T) {
	s, records := signer(t)
	keys := peertest.WriteKeys(t, records)
	for i, content := range peerMessages {
		for _, key := range s.Keys {
			signed := sign(t, &Signer{Domain: s.Domain, Keys: []SigningKey{key}}, content)
			out := opendkim(t, "Mode v\nTestPublicKeys "+keys+"\n", signed)
			if !strings.Contains(out, "dkim=pass") {
				t.Errorf("message %d, key %s:\n%s\n%s", i, key.Selector, out, signed)
			}
		}
	}
}

// added returns the DKIM-Signature field that opendkim says it would add.
func added(out string) string {
	_, field, ok := strings.Cut(out, "hname='DKIM-Signature' hvalue='")
	if !ok {
		return ""
	}
	field, _, _ = strings.Cut(field, "'\n")
	return "DKIM-Signature: " + strings.ReplaceAll(field, "\n", "\r\n") + "\r\n"
}

func TestWeVerifyWhatOpendkimSigns(t *testing.T) {
	_, records := signer(t)
	v := NewVerifier(resolverFor(t, records))
	dir := t.TempDir()
	for i, content := range peerMessages {
		for _, form := range forms {
			key := testKeys()[0]
			path := filepath.Join(dir, key.Selector)
			if err := os.WriteFile(path, []byte(privateText(t, key)), 0o600); err != nil {
				t.Fatal(err)
			}
			out := opendkim(t, "Mode s\nDomain north.test\nSelector "+key.Selector+"\nKeyFile "+path+
				"\nCanonicalization "+strings.Join(form, "/")+"\n", []byte(content))
			field := added(out)
			whole := []byte(field + content)
			got := v.Verify(t.Context(), message.ParseHeader(whole), whole, farFuture)
			if len(got) != 1 || got[0].Result != Pass {
				t.Errorf("message %d, %s: %+v\n%s\n%s", i, form, got, out, field)
			}
		}
	}
}

func TestMutationsAgreeWithOpendkim(t *testing.T) {
	s, records := signer(t)
	keys := peertest.WriteKeys(t, records)
	v := NewVerifier(resolverFor(t, records))
	rnd := rand.New(rand.NewPCG(5, 6))
	for i := range 60 {
		content := mutate(rnd, sign(t, &Signer{Domain: s.Domain, Keys: s.Keys[:1]}, peerMessages[i%len(peerMessages)]))
		got := v.Verify(t.Context(), message.ParseHeader(content), content, now)
		if len(got) != 1 || strings.Contains(got[0].Reason, "base64") { // opendkim reads past what is none
			continue
		}
		out := opendkim(t, "Mode v\nTestPublicKeys "+keys+"\n", content)
		if theirs := strings.Contains(out, "dkim=pass"); theirs != (got[0].Result == Pass) {
			t.Errorf("mutation %d: we say %s, opendkim passes it: %v\n%s\n%q", i, got[0].Resinfo(), theirs, out, content)
		}
	}
}
