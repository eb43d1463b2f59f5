package imap

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var setOptions = cmpopts.IgnoreUnexported(Set{})

func ranges(numbers ...uint32) Set {
	var s Set
	for i := 0; i < len(numbers); i += 2 {
		s.Ranges = append(s.Ranges, Range{numbers[i], numbers[i+1]})
	}
	return s
}

func TestParse(t *testing.T) {
	day := time.Date(1994, time.February, 1, 0, 0, 0, 0, time.UTC)
	tests := []struct {
		text string
		name string
		args any
	}{
		{"a noop", "NOOP", nil},
		{"a1 Login joe \"pa\\\"ss\"", "LOGIN", &Login{"joe", `pa"ss`}},
		{"a LOGIN {3}\r\njoe {4+}\r\np ss", "LOGIN", &Login{"joe", "p ss"}},
		{"a AUTHENTICATE plain AGEAYg==", "AUTHENTICATE", &Authenticate{"PLAIN", []byte("\x00a\x00b")}},
		{"a AUTHENTICATE EXTERNAL =", "AUTHENTICATE", &Authenticate{"EXTERNAL", []byte{}}},
		{"a AUTHENTICATE SCRAM-SHA-256", "AUTHENTICATE", &Authenticate{"SCRAM-SHA-256", nil}},
		{"a ENABLE condstore UTF8=ACCEPT", "ENABLE", Enable{"CONDSTORE", "UTF8=ACCEPT"}},
		{"a ID nil", "ID", ID(nil)},
		{`a ID ("name" "x" "version" NIL)`, "ID", ID{"name", "x", "version", ""}},
		{"a SELECT inbox", "SELECT", &Select{Mailbox: "INBOX"}},
		{"a EXAMINE &AOk-t&AOk- (CONDSTORE)", "EXAMINE", &Select{Mailbox: "été", Condstore: true}},
		{"a CREATE x (USE (\\Sent \\Drafts))", "CREATE", &Create{"x", []string{`\Sent`, `\Draft` + "s"}}},
		{"a RENAME a \"b c\"", "RENAME", &Rename{"a", "b c"}},
		{`a LIST "" %`, "LIST", &List{Patterns: []string{"%"}}},
		{`a LIST (SUBSCRIBED RECURSIVEMATCH) "" ("a*" b) RETURN (CHILDREN STATUS (MESSAGES UIDNEXT))`, "LIST",
			&List{Patterns: []string{"a*", "b"}, Extended: true, Select: ListOptions{Subscribed: true, RecursiveMatch: true},
				Return: ListOptions{Children: true}, Status: []string{"MESSAGES", "UIDNEXT"}}},
		{"a LSUB \"\" *", "LSUB", &List{Patterns: []string{"*"}}},
		{"a STATUS inbox (messages SIZE)", "STATUS", &Status{"INBOX", []string{"MESSAGES", "SIZE"}}},
		{"a UID COPY 1:3,2:5,9,* Sent", "UID COPY", &Copy{ranges(1, 5, 9, 9, Star, Star), "Sent"}},
		{"a UID EXPUNGE 4,3", "UID EXPUNGE", ranges(3, 4)},
		{"a STORE 1 +flags.silent (\\seen $Junk)", "STORE",
			&Store{Set: ranges(1, 1), Op: '+', Silent: true, Flags: []string{`\Seen`, "$Junk"}}},
		{"a STORE $ (UNCHANGEDSINCE 12) FLAGS \\Deleted x", "STORE",
			&Store{Set: Set{Saved: true}, Flags: []string{`\Deleted`, "x"}, Conditional: true, UnchangedSince: 12}},
		{"a STORE 1 (UNCHANGEDSINCE 9223372036854775807) FLAGS x", "STORE",
			&Store{Set: ranges(1, 1), Flags: []string{"x"}, Conditional: true, UnchangedSince: 1<<63 - 1}},
		{"a FETCH 1:* fast", "FETCH", &Fetch{Set: ranges(1, Star), Items: fetchMacros["FAST"]}},
		{"a FETCH 2 (UID BODY[] BODY.PEEK[1.2.header.fields (from \"to\")]<5.10>) (CHANGEDSINCE 7)", "FETCH",
			&Fetch{Set: ranges(2, 2), Conditional: true, ChangedSince: 7, Items: []FetchItem{
				fetchPlain["UID"], {Kind: FetchBody, Label: "BODY[]"},
				{Kind: FetchBody, Label: "BODY[1.2.HEADER.FIELDS (FROM TO)]<5>", Peek: true, Partial: true, Offset: 5, Count: 10,
					Section: Section{Part: []int{1, 2}, Kind: SectionFields, Fields: []string{"from", "to"}}}}}},
		{"a FETCH 2 BINARY.SIZE[1]", "FETCH", &Fetch{Set: ranges(2, 2), Items: []FetchItem{
			{Kind: FetchBinarySize, Label: "BINARY.SIZE[1]", Peek: true, Section: Section{Part: []int{1}}}}}},
		{"a FETCH 2 BODY", "FETCH", &Fetch{Set: ranges(2, 2), Items: []FetchItem{fetchPlain["BODY"]}}},
		{"a SEARCH unseen", "SEARCH", &Search{Key: not(keyword(`\Seen`))}},
		{"a UID SEARCH RETURN () CHARSET utf-8 OR FROM a (SINCE 1-Feb-1994 NOT 1:3) UID 4", "UID SEARCH",
			&Search{Extended: true, Return: SearchReturn{All: true}, Charset: "UTF-8", Key: SearchKey{Op: SearchAnd, Keys: []SearchKey{
				{Op: SearchOr, Keys: []SearchKey{{Op: SearchHeader, Field: "FROM", Text: "a"},
					{Op: SearchAnd, Keys: []SearchKey{{Op: SearchSince, Date: day}, not(SearchKey{Op: SearchSeq, Set: ranges(1, 3)})}}}},
				{Op: SearchUID, Set: ranges(4, 4)}}}}},
		{`a SEARCH MODSEQ "/flags/\\draft" all 620162338`, "SEARCH", &Search{Key: SearchKey{Op: SearchModSeq, Number: 620162338}}},
		{"a FROBNICATE whatever (", "FROBNICATE", nil},
	}
	for _, test := range tests {
		cmd, err := Parse([]byte(test.text), false)
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		if cmd.Name != test.name || !cmp.Equal(cmd.Args, test.args, setOptions) {
			t.Errorf("%s: %s\n%s", test.text, cmd.Name, cmp.Diff(test.args, cmd.Args, setOptions))
		}
	}
}

func TestParseRefuses(t *testing.T) {
	deep := strings.Repeat("(", MaxSearchDepth+2) + "ALL" + strings.Repeat(")", MaxSearchDepth+2)
	tests := []struct{ claim, text, tag string }{
		{"no tag", "", ""},
		{"no command", "a", "a"},
		{"a tag with a plus", "+ NOOP", ""},
		{"rubbish at the end", "a NOOP x", "a"},
		{"LOGIN without password", "a LOGIN x", "a"},
		{"an open quote", `a LOGIN "x y`, "a"},
		{"message 0", "a FETCH 0 FLAGS", "a"},
		{"a number over 32 bits", "a FETCH 4294967296 FLAGS", "a"},
		{"a modseq over 63 bits", "a FETCH 1 FLAGS (CHANGEDSINCE 9223372036854775808)", "a"},
		{"an empty FETCH", "a FETCH 1 ()", "a"},
		{"MIME of the whole message", "a FETCH 1 BODY[MIME]", "a"},
		{"a binary header", "a FETCH 1 BINARY[1.HEADER]", "a"},
		{"a partial of nothing", "a FETCH 1 BODY[]<0.0>", "a"},
		{"setting \\Recent", "a STORE 1 FLAGS (\\Recent)", "a"},
		{"a month that is none", "a SEARCH ON 1-Foo-2000", "a"},
		{"31 February", "a SEARCH ON 31-Feb-2000", "a"},
		{"an unknown search key", "a SEARCH FROB", "a"},
		{"deep nesting", "a SEARCH " + deep, "a"},
		{"NOT nested deep", "a SEARCH " + strings.Repeat("NOT ", MaxSearchDepth+2) + "ALL", "a"},
		{"too many search keys", "a SEARCH " + strings.Repeat("ALL ", MaxSearchKeys+1) + "ALL", "a"},
		{"long patterns", `a LIST "" (` + strings.Repeat("* ", MaxPatterns/2) + strings.Repeat("x", MaxPattern) + ")", "a"},
		{"RECURSIVEMATCH alone", `a LIST (RECURSIVEMATCH) "" *`, "a"},
		{"a name with bytes that are no UTF-8", "a SELECT {2}\r\n\xff\xfe", "a"},
		{"an unknown UID command", "a UID NOOP", "a"},
		{"a literal cut short", "a LOGIN {9}\r\nx y", "a"},
	}
	for _, test := range tests {
		_, err := Parse([]byte(test.text), false)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || syntax.Tag != test.tag {
			t.Errorf("%s: %v, want a syntax error with tag %q", test.claim, err, test.tag)
		}
	}
}

func TestParseAppend(t *testing.T) {
	received := time.Date(2024, time.March, 5, 6, 7, 8, 0, time.FixedZone("", -3600))
	cmd, ok, err := ParseAppend([]byte(`a append "Sent" (\seen x) " 5-Mar-2024 06:07:08 -0100" `), false)
	if err != nil || !ok || cmd.Tag != "a" {
		t.Fatalf("got %v %v %v", cmd, ok, err)
	}
	args := cmd.Args.(*Append)
	if args.Mailbox != "Sent" || !args.First.Received.Equal(received) || !reflect.DeepEqual(args.First.Flags, []string{`\Seen`, "x"}) {
		t.Errorf("got %v", args)
	}
	if _, ok, err := ParseAppend([]byte("a APPEND "), false); ok || err != nil {
		t.Errorf("a mailbox to come as a literal: %v %v, want to wait for it", ok, err)
	}
	if _, ok, err := ParseAppend([]byte("a SELECT "), false); ok || err != nil {
		t.Errorf("another command: %v %v, want neither", ok, err)
	}
	if cmd, _, err := ParseAppend([]byte("a APPEND x (\\Seen "), false); err == nil || cmd.Tag != "a" {
		t.Error("an open flag list was taken")
	}
	if _, more, err := ParseAppendMore([]byte(" (\\Seen) "), false); !more || err != nil {
		t.Errorf("a second message: %v %v", more, err)
	}
	if _, more, err := ParseAppendMore([]byte(")"), true); more || err != nil {
		t.Errorf("the end of UTF8: %v %v", more, err)
	}
}

func TestParseLiteralHead(t *testing.T) {
	tests := []struct {
		line string
		want LiteralHead
		ok   bool
	}{
		{"a LOGIN {5}", LiteralHead{Size: 5, Sync: true, Start: 8}, true},
		{"a LOGIN {5+}", LiteralHead{Size: 5, Start: 8}, true},
		{"a APPEND x ~{123}", LiteralHead{Size: 123, Sync: true, Binary: true, Start: 11}, true},
		{"a LOGIN {}", LiteralHead{}, false},
		{"a LOGIN {+}", LiteralHead{}, false},
		{"a LOGIN 5}", LiteralHead{}, false},
		{"}", LiteralHead{}, false},
		{"a {99999999999999999999}", LiteralHead{}, false},
	}
	for _, test := range tests {
		if got, ok := ParseLiteralHead([]byte(test.line)); got != test.want || ok != test.ok {
			t.Errorf("%s: %+v %v, want %+v %v", test.line, got, ok, test.want, test.ok)
		}
	}
}

func TestMatchList(t *testing.T) {
	tests := []struct {
		pattern, name string
		want          bool
	}{
		{"*", "a/b", true}, {"%", "a/b", false}, {"%", "a", true}, {"a/%", "a/b", true}, {"a/%", "a/b/c", false},
		{"a*c", "a/b/c", true}, {"%/%", "a/b", true}, {"", "", true}, {"", "a", false}, {"INBOX", "INBOX", true},
		{"*b*", "abc", true}, {"%b", "a/b", false},
	}
	for _, test := range tests {
		if got := MatchList(test.pattern, test.name); got != test.want {
			t.Errorf("%q on %q: %v", test.pattern, test.name, got)
		}
	}
}

func TestResolve(t *testing.T) {
	tests := []struct {
		set  string
		last uint32
		want string
	}{
		{"1:*", 5, "1:5"}, {"9:*", 5, "5"}, {"*", 5, "5"}, {"*", 0, ""}, {"1:*", 0, ""}, {"2,4:*,*:6", 5, "2,4:5"},
		{"4294967290:4294967295", 7, "7"},
	}
	for _, test := range tests {
		s := scanner{src: []byte(test.set)}
		if got := string(AppendSet(nil, s.set().Resolve(test.last))); s.err != nil || got != test.want {
			t.Errorf("%s with %d: %s %v, want %s", test.set, test.last, got, s.err, test.want)
		}
	}
}

func TestUTF7(t *testing.T) {
	for name, want := range map[string]string{
		"INBOX": "INBOX", "a&b": "a&-b", "Entwürfe": "Entw&APw-rfe", "日本語": "&ZeVnLIqe-",
		"~peter/mail/台北/日本語": "~peter/mail/&U,BTFw-/&ZeVnLIqe-", "😀": "&2D3eAA-",
	} {
		if got := EncodeUTF7(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		if got, ok := DecodeUTF7(want); !ok || got != name {
			t.Errorf("%s: %s %v, want %s", want, got, ok, name)
		}
	}
	for _, bad := range []string{"&", "&AOk", "&AGE-", "&2D0-", "é", "&A-", "a&AOk-&AOk-"} {
		if got, ok := DecodeUTF7(bad); ok {
			t.Errorf("%q was taken as %q", bad, got)
		}
	}
}
