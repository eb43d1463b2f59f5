package dns

import (
	"testing"

	wire "github.com/miekg/dns"
)

func TestForeignReplyIsNotTaken(t *testing.T) {
	q := question{name: "north.test", qtype: typeMX}
	build := func(change func(*wire.Msg)) []byte {
		m := new(wire.Msg)
		m.SetQuestion("north.test.", wire.TypeMX)
		m.Id, m.Response = 7, true
		m.Answer = []wire.RR{&wire.MX{Hdr: wire.RR_Header{Name: "north.test.", Rrtype: wire.TypeMX, Class: wire.ClassINET, Ttl: 1}, Mx: "mx.test."}}
		change(m)
		raw, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	for _, c := range []struct {
		claim  string
		change func(*wire.Msg)
		ok     bool
	}{
		{"ours is taken", func(*wire.Msg) {}, true},
		{"letter case does not matter", func(m *wire.Msg) { m.Question[0].Name = "North.Test." }, true},
		{"another ID", func(m *wire.Msg) { m.Id = 8 }, false},
		{"another name", func(m *wire.Msg) { m.Question[0].Name = "south.test." }, false},
		{"another type", func(m *wire.Msg) { m.Question[0].Qtype = wire.TypeA }, false},
		{"a query", func(m *wire.Msg) { m.Response = false }, false},
		{"no question", func(m *wire.Msg) { m.Question = nil }, false},
		{"a referral", func(m *wire.Msg) {
			m.Answer = nil
			m.Ns = []wire.RR{&wire.NS{Hdr: wire.RR_Header{Name: "test.", Rrtype: wire.TypeNS, Class: wire.ClassINET}, Ns: "ns.test."}}
		}, false},
	} {
		if _, err := parseReply(build(c.change), 7, q); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.claim, err)
		}
	}
}

// FuzzParseReply holds that no reply makes us panic, keep more than the bounds, or invent an answer.
func FuzzParseReply(f *testing.F) {
	m := new(wire.Msg)
	m.SetQuestion("north.test.", wire.TypeMX)
	m.Id, m.Response = 7, true
	for _, text := range []string{"north.test. 1 IN CNAME a.test.", "a.test. 5 IN MX 10 mx.test.", "a.test. 5 IN TXT \"x\\\"y\\000\"", "a.test. 5 IN A 192.0.2.1"} {
		rr, err := wire.NewRR(text)
		if err != nil {
			f.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
		raw, _ := m.Pack()
		f.Add(raw, typeMX)
		f.Add(raw, typeTXT)
	}
	f.Fuzz(func(t *testing.T, raw []byte, qtype uint16) {
		rep, err := parseReply(raw, 7, question{name: "north.test", qtype: qtype})
		if err != nil {
			return
		}
		if len(rep.records) > maxRecords || rep.links > maxCNAMEs || rep.ttl < 0 || rep.ttl > maxTTL {
			t.Errorf("over the bounds: %+v", rep)
		}
		if (len(rep.records) == 0) != (rep.err != nil || rep.open) {
			t.Errorf("neither records nor a reason: %+v", rep)
		}
		if _, ok := canonical(rep.name); rep.open && !ok {
			t.Errorf("would ask for %q", rep.name)
		}
	})
}
