package dkim

import (
	"bytes"
	"crypto"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"

	"posthaste/message"
)

// msgauth tells how go-msgauth finds the signatures of a message: whether each passes.
func msgauth(t *testing.T, records map[string]string, content []byte) []bool {
	t.Helper()
	got, err := dkim.VerifyWithOptions(bytes.NewReader(content), &dkim.VerifyOptions{LookupTXT: func(name string) ([]string, error) {
		if text, ok := records[name]; ok {
			return []string{text}, nil
		}
		return nil, &net.DNSError{IsNotFound: true}
	}})
	if err != nil {
		return nil
	}
	passes := make([]bool, len(got))
	for i, v := range got {
		passes[i] = v.Err == nil
	}
	return passes
}

func TestMsgauthVerifiesWhatWeSign(t *testing.T) {
	s, records := signer(t)
	for i, content := range peerMessages {
		if got := msgauth(t, records, sign(t, s, content)); len(got) != 2 || !got[0] || !got[1] {
			t.Errorf("message %d: %v\n%s", i, got, sign(t, s, content))
		}
	}
}

func TestWeVerifyWhatMsgauthSigns(t *testing.T) {
	_, records := signer(t)
	for i, content := range peerMessages {
		for _, key := range testKeys() {
			for _, form := range [][2]dkim.Canonicalization{{"simple", "simple"}, {"simple", "relaxed"}, {"relaxed", "simple"}, {"relaxed", "relaxed"}} {
				var signed bytes.Buffer
				err := dkim.Sign(&signed, strings.NewReader(content), &dkim.SignOptions{Domain: "north.test", Selector: key.Selector, Signer: key.Private,
					Hash: crypto.SHA256, HeaderCanonicalization: form[0], BodyCanonicalization: form[1]})
				if err != nil {
					t.Fatalf("message %d: %v", i, err)
				}
				got := NewVerifier(resolverFor(t, records)).Verify(t.Context(), message.ParseHeader(signed.Bytes()), signed.Bytes(), farFuture)
				if len(got) != 1 || got[0].Result != Pass {
					t.Errorf("message %d, %s, %s: %+v", i, key.Selector, form, got)
				}
			}
		}
	}
}

// TestMutationsAgreeWithMsgauth changes signed messages at random: who of us passes them must be the same.
func TestMutationsAgreeWithMsgauth(t *testing.T) {
	s, records := signer(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	v := NewVerifier(resolverFor(t, records))
	passed := 0
	for i := range 3000 {
		content := mutate(rnd, sign(t, &Signer{Domain: s.Domain, Keys: s.Keys[1:]}, peerMessages[i%len(peerMessages)]))
		theirs := msgauth(t, records, content)
		var ours []bool
		for _, r := range v.Verify(t.Context(), message.ParseHeader(content), content, now) {
			ours = append(ours, r.Result == Pass)
			if r.Result == Pass {
				passed++
			}
		}
		if len(theirs) == len(ours) && fmt.Sprint(theirs) != fmt.Sprint(ours) {
			t.Errorf("mutation %d: we say %v, go-msgauth %v\n%q", i, ours, theirs, content)
		}
	}
	t.Logf("%d of 3000 still pass", passed)
	if passed < 100 {
		t.Errorf("only %d mutations pass: they are too wild to tell much", passed)
	}
}

// mutate changes a message as the ways of mail do, or as somebody with intentions does.
func mutate(rnd *rand.Rand, content []byte) []byte {
	const letters = "abcXYZ019 \t;:=,.<>@/+-_\"()"
	out := bytes.Clone(content)
	for range 1 + rnd.IntN(2) {
		at := rnd.IntN(len(out))
		lines := bytes.SplitAfter(out, []byte("\n"))
		i := rnd.IntN(len(lines))
		switch rnd.IntN(9) {
		case 0: // another letter
			if out[at] != '\r' && out[at] != '\n' {
				out[at] = letters[rnd.IntN(len(letters))]
			}
		case 1: // one more
			if at > 0 && out[at-1] != '\r' {
				out = bytes.Join([][]byte{out[:at], {letters[rnd.IntN(len(letters))]}, out[at:]}, nil)
			}
		case 2: // one less
			if out[at] != '\r' && out[at] != '\n' {
				out = bytes.Join([][]byte{out[:at], out[at+1:]}, nil)
			}
		case 3: // a space becomes two, or a tab
			out = bytes.Replace(out, []byte(" "), []byte{' ', "\t "[rnd.IntN(2)]}, 1+rnd.IntN(10))
		case 4: // a line twice
			lines = append(lines[:i:i], append([][]byte{lines[i]}, lines[i:]...)...)
			out = bytes.Join(lines, nil)
		case 5: // a field of others on top
			out = append([]byte("Received: by somebody; some day\r\n"), out...)
		case 6: // lines at the end
			out = append(out, []string{"\r\n", "\r\n\r\n", " \r\n", "x\r\n"}[rnd.IntN(4)]...)
		case 7: // white space at the end of a line
			out = bytes.Replace(out, []byte(".\r\n"), []byte(". \t\r\n"), 1)
		case 8: // another folding
			out = bytes.Replace(out, []byte(", "), []byte(",\r\n "), 1)
		}
	}
	return out
}
