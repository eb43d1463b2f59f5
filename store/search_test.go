package store

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// searchMail is what TestSearch looks through, by index.
var searchMail = []string{
	"From: Ann <ann@north.test>\r\nTo: bob@south.test\r\nSubject: Budget\r\nDate: Tue, 3 Nov 2026 23:30:00 -0500\r\nX-Tag: blue\r\n\r\nthe first body\r\n",
	"From: =?utf-8?q?J=C3=B6rg?= <j@north.test>\r\nCc: carl@west.test\r\nSubject: =?utf-8?b?R3LDtsOfZQ==?=\r\nDate: Wed, 4 Nov 2026 01:00:00 +0100\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nw4RwZmVsIHVuZCBCaXJuZW4=\r\n",
	"Subject: no date\r\nX-Empty:\r\n\r\nbudget in the body\r\n",
}

func searchAccount(t *testing.T) (*Account, *View) {
	s, a := newStore(t)
	s.now = func() time.Time { return time.Unix(1_800_000_000, 0) }
	for i, raw := range searchMail {
		m := prepare(t, s, []byte(raw))
		received := time.Date(2026, 11, 4+i, 12, 0, 0, 0, time.UTC)
		flags := [][]string{{`\Seen`}, {"Work"}, {`\Deleted`, `\Flagged`}}[i]
		if _, err := a.Append(t.Context(), Inbox, []Append{{Message: m, Received: received, Keywords: flags}}); err != nil {
			t.Fatal(err)
		}
	}
	return a, view(t, a, Inbox)
}

func day(d int) time.Time { return time.Date(2026, 11, d, 0, 0, 0, 0, time.UTC) }

func TestSearch(t *testing.T) {
	a, v := searchAccount(t)
	seen := Criterion{Key: SearchKeyword, Text: `\seen`}
	for _, c := range []struct {
		claim string
		c     Criterion
		want  []int
	}{
		{"all", Criterion{Key: SearchAll}, []int{0, 1, 2}},
		{"no condition is all", Criterion{Key: SearchAnd}, []int{0, 1, 2}},
		{"no alternative is nothing", Criterion{Key: SearchOr}, nil},
		{"a flag in any case", seen, []int{0}},
		{"not", Criterion{Key: SearchNot, Children: []Criterion{seen}}, []int{1, 2}},
		{"a keyword", Criterion{Key: SearchKeyword, Text: "work"}, []int{1}},
		{"an unknown keyword is on no message", Criterion{Key: SearchKeyword, Text: "none"}, nil},
		{"\\Deleted", Criterion{Key: SearchKeyword, Text: `\DELETED`}, []int{2}},
		{"UIDs", Criterion{Key: SearchUIDs, UIDs: UIDSet{{2, 9}}}, []int{1, 2}},
		{"received before a day", Criterion{Key: SearchBefore, Time: day(5)}, []int{0}},
		{"received on a day", Criterion{Key: SearchOn, Time: day(5)}, []int{1}},
		{"received since a day", Criterion{Key: SearchSince, Time: day(5)}, []int{1, 2}},
		{"sent on the day that the sender's zone shows", Criterion{Key: SearchSentOn, Time: day(3)}, []int{0}},
		{"sent since", Criterion{Key: SearchSentSince, Time: day(4)}, []int{1}},
		{"without a date sent never", Criterion{Key: SearchSentBefore, Time: day(30)}, []int{0, 1}},
		{"saved", Criterion{Key: SearchSavedOn, Time: time.Unix(1_800_000_000, 0).UTC()}, []int{0, 1, 2}},
		{"older", Criterion{Key: SearchOlder, Number: 1_800_000_000 - uint64(day(5).Unix())}, []int{0}},
		{"younger", Criterion{Key: SearchYounger, Number: 1_800_000_000 - uint64(day(5).Unix())}, []int{1, 2}},
		{"larger", Criterion{Key: SearchLarger, Number: 100}, []int{0, 1}},
		{"smaller", Criterion{Key: SearchSmaller, Number: 100}, []int{2}},
		{"modseq", Criterion{Key: SearchModSeq, Number: uint64(v.At(2).ModSeq)}, []int{2}},
		{"email", Criterion{Key: SearchEmail, Number: uint64(v.At(1).Email)}, []int{1}},
		{"thread", Criterion{Key: SearchThread, Number: uint64(v.At(1).Thread)}, []int{1}},
		{"from, name decoded, in any case", Criterion{Key: SearchFrom, Text: "JÖRG"}, []int{1}},
		{"from, a part of the address", Criterion{Key: SearchFrom, Text: "ann@n"}, []int{0}},
		{"to", Criterion{Key: SearchTo, Text: "bob"}, []int{0}},
		{"cc", Criterion{Key: SearchCc, Text: "carl"}, []int{1}},
		{"bcc", Criterion{Key: SearchBcc, Text: "carl"}, nil},
		{"sharp s is not two of s", Criterion{Key: SearchSubject, Text: "GRÖSSE"}, nil},
		{"subject, decoded", Criterion{Key: SearchSubject, Text: "größe"}, []int{1}},
		{"an empty text is in every subject", Criterion{Key: SearchSubject}, []int{0, 1, 2}},
		{"header", Criterion{Key: SearchHeader, Name: "x-tag", Text: "BLUE"}, []int{0}},
		{"header is there", Criterion{Key: SearchHeader, Name: "X-Empty"}, []int{2}},
		{"body only in the body", Criterion{Key: SearchBody, Text: "budget"}, []int{2}},
		{"body decoded", Criterion{Key: SearchBody, Text: "äpfel"}, []int{1}},
		{"text in header and body", Criterion{Key: SearchText, Text: "budget"}, []int{0, 2}},
		{"or over rows and content", Criterion{Key: SearchOr, Children: []Criterion{seen, {Key: SearchBody, Text: "birnen"}}}, []int{0, 1}},
		{"and over facts and content", Criterion{Key: SearchAnd, Children: []Criterion{{Key: SearchFrom, Text: "north"}, {Key: SearchText, Text: "first"}}}, []int{0}},
		{"not over content", Criterion{Key: SearchNot, Children: []Criterion{{Key: SearchBody, Text: "body"}}}, []int{1}},
	} {
		got, err := a.Search(t.Context(), v, c.c)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, %v; want %v", c.claim, got, err, c.want)
		}
	}
}

func TestSearchIsBounded(t *testing.T) {
	a, v := searchAccount(t)
	deep := Criterion{Key: SearchAll}
	for range maxSearchLevels + 1 {
		deep = Criterion{Key: SearchNot, Children: []Criterion{deep}}
	}
	wide := Criterion{Key: SearchAnd, Children: make([]Criterion, maxCriteria)}
	for _, c := range []Criterion{deep, wide} {
		if _, err := a.Search(t.Context(), v, c); !errors.Is(err, ErrLimit) {
			t.Errorf("got %v, want ErrLimit", err)
		}
	}
}
