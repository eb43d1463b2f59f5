package milter

import (
	"net"
	"reflect"
	"sync"
	"testing"

	library "github.com/emersion/go-milter"

	"posthaste/filter"
	"posthaste/filter/filtertest"
	"posthaste/mail"
)

// everything is a milter of another hand, github.com/emersion/go-milter, that makes every change it can.
type everything struct {
	library.NoOpMilter
	chunks *[]int
}

func (e everything) BodyChunk(chunk []byte, _ *library.Modifier) (library.Response, error) {
	*e.chunks = append(*e.chunks, len(chunk))
	return library.RespContinue, nil
}

func (e everything) Body(m *library.Modifier) (library.Response, error) {
	for _, change := range []func() error{
		func() error { return m.AddHeader("X-Added", m.Macros["i"]) },
		func() error { return m.InsertHeader(0, "X-First", "a\r\n b") },
		func() error { return m.ChangeHeader(1, "Subject", "another") },
		func() error { return m.ChangeHeader(1, "X-Empty", "") },
		func() error { return m.ChangeFrom("<eve@client.test>") },
		func() error { return m.AddRecipient("new@north.test") },
		func() error { return m.DeleteRecipient("ann@north.test") },
		func() error { return m.Quarantine("look at it") },
		func() error { return m.ReplaceBody([]byte("new\r\n")) },
	} {
		if err := change(); err != nil {
			return nil, err
		}
	}
	return library.RespAccept, nil
}

func TestAMilterOfAnotherHandMakesEveryChange(t *testing.T) {
	var chunks []int
	server := library.Server{NewMilter: func() library.Milter { return everything{chunks: &chunks} },
		Actions: library.OptAddHeader | library.OptChangeBody | library.OptAddRcpt | library.OptRemoveRcpt | library.OptChangeHeader | library.OptQuarantine | library.OptChangeFrom}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() { server.Serve(ln) })
	defer served.Wait()
	defer ln.Close()
	m := filtertest.Mail(t, plain)
	r, err := newClient(t, "inet:"+ln.Addr().String()).Scan(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	if r.Action != mail.Quarantine || len(chunks) != 1 {
		t.Errorf("action %v, chunks %v", r.Action, chunks)
	}
	eve := mail.ReversePath{Address: mail.Address{Local: "eve", Domain: "client.test"}}
	want := filter.Edits{From: &eve, Add: []mail.Address{{Local: "new", Domain: "north.test"}}, Remove: []mail.Address{{Local: "ann", Domain: "north.test"}},
		Body: []byte("new\r\n"), Fields: r.Edits.Fields}
	if !reflect.DeepEqual(r.Edits, want) {
		t.Errorf("got %+v", r.Edits)
	}
	const changed = "X-First: a\r\n b\r\nFrom: Bob <bob@client.test>\r\nSubject: another\r\nX-Added: 01JDXAMPLE000001\r\n\r\nnew\r\n"
	if got := string(r.Edits.Apply(m.Content)); got != changed {
		t.Errorf("got %q, want %q", got, changed)
	}
}
