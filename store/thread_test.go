package store

import (
	"fmt"
	"strings"
	"testing"

	"posthaste/message"
)

func TestBaseSubject(t *testing.T) {
	for subject, want := range map[string]string{
		"Re: hello":               "hello",
		"RE: Fwd: re: Hello":      "hello",
		"[list] Re: [x] hello":    "hello",
		"Re[2]: hello (fwd)":      "hello",
		"[Fwd: Re: hello]":        "hello",
		"AW: hello":               "hello",
		"hello \r\n  there":       "hello there",
		"[only a blob]":           "[only a blob]",
		"regards":                 "regards",
		"":                        "",
		strings.Repeat("re: ", 9): "",
	} {
		if got := baseSubject(subject); got != want {
			t.Errorf("%q: got %q, want %q", subject, got, want)
		}
	}
}

func TestThreads(t *testing.T) {
	s, a := newStore(t)
	store := func(id, parents, references, subject string) Row {
		t.Helper()
		h := "Subject: " + subject + "\r\n"
		for name, value := range map[string]string{"Message-ID": id, "In-Reply-To": parents, "References": references} {
			if value != "" {
				h += name + ": " + value + "\r\n"
			}
		}
		if _, err := a.Append(t.Context(), Inbox, []Append{{Message: prepare(t, s, []byte(h+"\r\n"))}}); err != nil {
			t.Fatal(err)
		}
		v := view(t, a, Inbox)
		return v.At(v.Len() - 1)
	}
	first := store("<a@x>", "", "", "plan")
	if first.Thread != ThreadID(first.Email) {
		t.Errorf("the first email has thread %d, want its own ID %d", first.Thread, first.Email)
	}
	for _, c := range []struct{ claim, id, parents, references, subject string }{
		{"a reply joins", "<b@x>", "<a@x>", "", "Re: plan"},
		{"References join without In-Reply-To", "<c@x>", "", "<z@x> <a@x>", "RE: Plan"},
		{"a reply to a reply joins", "<d@x>", "<c@x>", "", "re: plan"},
		{"the same email again joins", "<a@x>", "", "", "plan"},
		{"an email replied to before it came joins", "<z@x>", "", "", "plan"},
	} {
		if got := store(c.id, c.parents, c.references, c.subject); got.Thread != first.Thread {
			t.Errorf("%s: thread %d, want %d", c.claim, got.Thread, first.Thread)
		}
	}
	for _, c := range []struct{ claim, id, parents, subject string }{
		{"another subject is another thread", "<e@x>", "<a@x>", "else"},
		{"without IDs every email is its own thread", "", "", "plan"},
		{"so is the next", "", "", "plan"},
	} {
		if got := store(c.id, c.parents, "", c.subject); got.Thread != ThreadID(got.Email) {
			t.Errorf("%s: thread %d of email %d", c.claim, got.Thread, got.Email)
		}
	}
}

func TestThreadIDsAreBounded(t *testing.T) {
	var references strings.Builder
	for i := range 500 {
		fmt.Fprintf(&references, " <%d@x>\r\n", i)
	}
	m := message.Parse([]byte("Message-ID: <own@x>\r\nReferences:" + references.String() + "\r\n"))
	if n := len(threadHashes(m.Header)); n != maxThreadIDs {
		t.Errorf("%d hashes, want %d", n, maxThreadIDs)
	}
}
