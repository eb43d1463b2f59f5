package dane

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"testing"

	"posthaste/dns"
)

func certificates(chain ...*made) []*x509.Certificate {
	var certs []*x509.Certificate
	for _, c := range chain {
		certs = append(certs, c.Certificate)
	}
	return certs
}

func resultOf(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	f, ok := errors.AsType[*Failure](err)
	if !ok {
		t.Fatalf("not a Failure: %v", err)
	}
	return f.Result
}

func TestCertificatesAgainstRecords(t *testing.T) {
	root := newCert(t, nil, true, after)
	middle := newCert(t, root, true, after)
	old := newCert(t, root, true, before)
	leaf := newCert(t, middle, false, after, "mx.north.test")
	foreign := newCert(t, middle, false, after, "mx.south.test")
	domain := newCert(t, root, false, after, "north.test")
	wild := newCert(t, root, false, after, "*.north.test")
	late := newCert(t, middle, false, before, "mx.north.test")
	belowOld := newCert(t, old, false, after, "mx.north.test")
	nameless := newCert(t, nil, false, before)
	other := newCert(t, nil, true, after, "mx.north.test")
	impostor := newCert(t, other, false, after, "mx.north.test")

	for _, c := range []struct {
		claim   string
		records []dns.TLSA
		chain   []*made
		want    string
	}{
		{"the key's SHA-256 is enough", []dns.TLSA{record(3, 1, 1, leaf)}, []*made{leaf}, ""},
		{"the key's SHA-512 too", []dns.TLSA{record(3, 1, 2, leaf)}, []*made{leaf}, ""},
		{"the key as it is too", []dns.TLSA{record(3, 1, 0, leaf)}, []*made{leaf}, ""},
		{"the certificate's SHA-256 too", []dns.TLSA{record(3, 0, 1, leaf)}, []*made{leaf}, ""},
		{"the certificate as it is too", []dns.TLSA{record(3, 0, 0, leaf)}, []*made{leaf}, ""},
		{"DANE-EE ignores names and dates", []dns.TLSA{record(3, 1, 1, nameless)}, []*made{nameless}, ""},
		{"DANE-EE is about the first certificate only", []dns.TLSA{record(3, 1, 1, middle)}, []*made{leaf, middle}, NotTrusted},
		{"one of two records is enough", []dns.TLSA{record(3, 1, 1, other), record(3, 1, 1, leaf)}, []*made{leaf}, ""},
		{"another key does not do", []dns.TLSA{record(3, 1, 1, leaf)}, []*made{other}, NotTrusted},
		{"the stronger digest decides", []dns.TLSA{record(3, 1, 1, leaf), record(3, 1, 2, other)}, []*made{leaf}, NotTrusted},

		{"DANE-TA: the root in the chain", []dns.TLSA{record(2, 0, 1, root)}, []*made{leaf, middle, root}, ""},
		{"DANE-TA: the key of the root", []dns.TLSA{record(2, 1, 1, root)}, []*made{leaf, middle, root}, ""},
		{"DANE-TA: an intermediate in the chain", []dns.TLSA{record(2, 0, 2, middle)}, []*made{leaf, middle}, ""},
		{"DANE-TA: a root that is not in the chain is not known by digest", []dns.TLSA{record(2, 0, 1, root)}, []*made{leaf, middle}, NotTrusted},
		{"DANE-TA: but it is if the record holds it", []dns.TLSA{record(2, 0, 0, root)}, []*made{leaf, middle}, ""},
		{"DANE-TA: or its key", []dns.TLSA{record(2, 1, 0, root)}, []*made{leaf, middle}, ""},
		{"DANE-TA: or the key of the issuer", []dns.TLSA{record(2, 1, 0, middle)}, []*made{leaf}, ""},
		{"DANE-TA: the next-hop domain is a name too", []dns.TLSA{record(2, 0, 1, root)}, []*made{domain, root}, ""},
		{"DANE-TA: a wildcard too", []dns.TLSA{record(2, 0, 1, root)}, []*made{wild, root}, ""},
		{"DANE-TA: another name does not do", []dns.TLSA{record(2, 0, 1, root)}, []*made{foreign, middle, root}, HostMismatch},
		{"DANE-TA: nor below a bare key", []dns.TLSA{record(2, 1, 0, middle)}, []*made{foreign}, HostMismatch},
		{"DANE-TA: an expired certificate does not do", []dns.TLSA{record(2, 0, 1, root)}, []*made{late, middle, root}, CertificateExpired},
		{"DANE-TA: nor below a bare key", []dns.TLSA{record(2, 1, 0, middle)}, []*made{late}, CertificateExpired},
		{"DANE-TA: nor an expired authority", []dns.TLSA{record(2, 0, 1, root)}, []*made{belowOld, old, root}, CertificateExpired},
		{"DANE-TA: the root sent along does not make it its own", []dns.TLSA{record(2, 0, 1, root)}, []*made{impostor, root}, NotTrusted},
		{"DANE-TA: the server's own certificate is none", []dns.TLSA{record(2, 0, 1, leaf)}, []*made{leaf}, NotTrusted},
		{"no certificate is no proof", []dns.TLSA{record(3, 1, 1, leaf)}, nil, ValidationFailure},
	} {
		p := decide(Query{Domain: "north.test", Host: "mx.north.test"}, "mx.north.test", dns.Answer[dns.TLSA]{Records: c.records, Security: dns.Secure}, nil)
		if p.Mode != Authenticate {
			t.Errorf("%s: %+v", c.claim, p)
			continue
		}
		if got := resultOf(t, p.Verify(certificates(c.chain...), now)); got != c.want {
			t.Errorf("%s: %q, want %q", c.claim, got, c.want)
		}
	}
}

// connected returns the ends of a connection with buffers: in a handshake both sides may write at once.
func connected(t *testing.T) (ours, theirs net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if ours, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if theirs, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	return ours, theirs
}

func TestHandshake(t *testing.T) {
	leaf, other := newCert(t, nil, false, before), newCert(t, nil, false, after, "mx.north.test")
	good := Policy{Mode: Authenticate, Base: "mx.north.test", Names: []string{"mx.north.test"}, Records: []dns.TLSA{record(3, 1, 1, leaf)}}
	for _, c := range []struct {
		claim  string
		policy Policy
		server *made
		want   string
	}{
		{"the right key", good, leaf, ""},
		{"another key, though its name is right", good, other, NotTrusted},
		{"any key where none is usable", Policy{Mode: Encrypt, Base: "mx.north.test"}, other, ""},
		{"none where we do not know", Policy{Mode: Skip}, other, ValidationFailure},
	} {
		ours, theirs := connected(t)
		server := tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{c.server.tls()}})
		asked := make(chan string, 1)
		go func() {
			server.Handshake()
			asked <- server.ConnectionState().ServerName
			server.Close()
		}()
		client := tls.Client(ours, c.policy.TLSConfig(&tls.Config{ServerName: "wrong.test"}))
		if got := resultOf(t, client.Handshake()); got != c.want {
			t.Errorf("%s: %q, want %q", c.claim, got, c.want)
		}
		client.Close()
		if name := <-asked; c.want == "" && name != "mx.north.test" {
			t.Errorf("%s: asked for %q", c.claim, name)
		}
	}
}

func FuzzRecordsNeverMatchByChance(f *testing.F) {
	root := newCert(f, nil, true, after)
	leaf := newCert(f, root, false, after, "mx.north.test")
	for _, usage := range []uint8{2, 3} {
		for _, c := range []*made{root, leaf} {
			for selector := range uint8(2) {
				for matching := range uint8(3) {
					r := record(usage, selector, matching, c)
					f.Add(usage, selector, matching, r.Data)
				}
			}
		}
	}
	f.Add(uint8(0), uint8(0), uint8(1), make([]byte, 32))
	f.Fuzz(func(t *testing.T, usage, selector, matching uint8, data []byte) {
		r := dns.TLSA{Usage: usage, Selector: selector, Matching: matching, Data: data}
		p := decide(Query{Host: "mx.north.test"}, "mx.north.test", dns.Answer[dns.TLSA]{Records: []dns.TLSA{r}, Security: dns.Secure}, nil)
		if p.Mode != Authenticate && p.Mode != Encrypt {
			t.Fatalf("secure records led to %+v", p)
		}
		if p.Mode == Encrypt || p.Verify(certificates(leaf, root), now) != nil {
			return
		}
		about := leaf
		if usage == 2 {
			about = root
		}
		if want := record(usage, selector, matching, about); string(want.Data) != string(data) {
			t.Errorf("%+v matched", r)
		}
	})
}
