package imap

import (
	"testing"
	"unicode/utf8"
)

var fuzzSeeds = []string{
	"a NOOP", "a LOGIN {3}\r\njoe {4+}\r\np ss", "a AUTHENTICATE PLAIN AGEAYg==", `a ID ("name" NIL)`,
	"a SELECT &AOk- (CONDSTORE)", `a LIST (SUBSCRIBED) "" ("a*" %) RETURN (CHILDREN STATUS (MESSAGES))`,
	"a UID STORE 1:*,7 (UNCHANGEDSINCE 3) -FLAGS.SILENT (\\Seen $x)",
	"a FETCH 1,2:* (BODY.PEEK[1.2.HEADER.FIELDS.NOT (a \"b c\")]<0.9> BINARY[1] ENVELOPE) (CHANGEDSINCE 4)",
	"a UID SEARCH RETURN (MIN SAVE) CHARSET UTF-8 OR (FROM x SINCE 1-Jan-2020) NOT $ MODSEQ 5",
	"a APPEND x (\\Seen) \" 1-Jan-2020 00:00:00 +0000\" UTF8 (~{3}",
}

func FuzzParse(f *testing.F) {
	for _, seed := range fuzzSeeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		cmd, err := Parse(text, false)
		if err == nil && (cmd.Tag == "" || cmd.Name == "") {
			t.Errorf("%q: no tag or name", text)
		}
		if name, ok := cmd.Args.(Mailbox); ok {
			reparseMailbox(t, string(name))
		}
		if fetch, ok := cmd.Args.(*Fetch); ok {
			reparseFetch(t, fetch)
		}
		if head, ok := ParseLiteralHead(text); ok {
			ParseAppend(text[:head.Start], true)
			ParseAppendMore(text[:head.Start], false)
		}
	})
}

// reparseMailbox checks that a printed name is read as the same name.
func reparseMailbox(t *testing.T, name string) {
	for _, mode := range []bool{false, true} {
		text := AppendMailbox([]byte("a DELETE "), name, mode)
		again, err := Parse(text, mode)
		if clean := !containsNUL(name); clean && (err != nil || again.Args != Mailbox(name)) {
			t.Errorf("%q: %v %v", text, again, err)
		}
	}
}

func containsNUL(s string) bool {
	for i := range len(s) {
		if s[i] == 0 {
			return true
		}
	}
	return false
}

// reparseFetch checks that the label of a section is a section with that label.
func reparseFetch(t *testing.T, fetch *Fetch) {
	for _, item := range fetch.Items {
		if item.Kind != FetchBody || item.Partial {
			continue
		}
		again, err := Parse([]byte("a FETCH 1 "+item.Label), false)
		if err != nil {
			t.Fatalf("label %q: %v", item.Label, err)
		}
		if label := again.Args.(*Fetch).Items[0].Label; label != item.Label {
			t.Errorf("label %q became %q", item.Label, label)
		}
	}
}

func FuzzUTF7(f *testing.F) {
	f.Add("Entw&APw-rfe")
	f.Add("日本語 & 😀")
	f.Fuzz(func(t *testing.T, s string) {
		if name, ok := DecodeUTF7(s); ok && EncodeUTF7(name) != s {
			t.Errorf("%q decodes to %q, which is %q", s, name, EncodeUTF7(name))
		}
		if !utf8.ValidString(s) || containsNUL(s) {
			return
		}
		for _, r := range s {
			if r == utf8.RuneError {
				return
			}
		}
		if name, ok := DecodeUTF7(EncodeUTF7(s)); !ok || name != s {
			t.Errorf("%q encodes to %q, which is %q %v", s, EncodeUTF7(s), name, ok)
		}
	})
}
