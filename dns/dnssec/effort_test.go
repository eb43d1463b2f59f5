package dnssec

import (
	"crypto"
	"errors"
	"strings"
	"testing"
	"time"

	wire "github.com/miekg/dns"
)

// TestWorkIsBounded builds what KeyTrap (CVE-2023-50387) is made of: many signatures, each by many keys.
func TestWorkIsBounded(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	key := &wire.DNSKEY{Hdr: wire.RR_Header{Name: "north.test.", Rrtype: wire.TypeDNSKEY, Class: wire.ClassINET, Ttl: 60}, Flags: 257, Protocol: 3, Algorithm: wire.ECDSAP256SHA256}
	private, err := key.Generate(256)
	if err != nil {
		t.Fatal(err)
	}
	mx, _ := wire.NewRR("north.test. 60 IN MX 10 mx.north.test.")
	sig := &wire.RRSIG{SignerName: "north.test.", KeyTag: key.KeyTag(), Algorithm: key.Algorithm,
		Inception: uint32(now.Add(-time.Hour).Unix()), Expiration: uint32(now.Add(time.Hour).Unix())}
	if err := sig.Sign(private.(crypto.Signer), []wire.RR{mx}); err != nil {
		t.Fatal(err)
	}
	set := Sets([]wire.RR{mx, sig})[0]
	zone := &Zone{Name: "north.test.", keys: []*wire.DNSKEY{key}}
	if _, err := zone.Verify(set, now, new(Effort)); err != nil {
		t.Fatalf("the good signature: %v", err)
	}

	bad := *sig
	bad.Signature = "A" + strings.TrimLeft(sig.Signature[1:], "A")
	if bad.Signature == sig.Signature {
		bad.Signature = "B" + sig.Signature[1:]
	}
	for range 1000 {
		zone.keys = append(zone.keys, key)
	}
	trap := Set{Name: set.Name, Type: set.Type, Records: set.Records}
	for range 1000 {
		trap.Signatures = append(trap.Signatures, &bad)
	}
	effort := new(Effort)
	var broken *Broken
	for range 100 {
		if _, err := zone.Verify(trap, now, effort); !errors.As(err, &broken) {
			t.Fatalf("bad signatures: %v", err)
		}
	}
	if !strings.Contains(broken.Reason, "more than") {
		t.Errorf("reason: %s", broken.Reason)
	}
	if _, err := zone.Verify(set, now, effort); err == nil {
		t.Error("the effort is spent, and yet another signature is computed")
	}
	if _, err := zone.Verify(set, now.Add(2*time.Hour), new(Effort)); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("two hours later: %v", err)
	}
}

func TestHashesAreBounded(t *testing.T) {
	effort := new(Effort)
	n3 := nsec3s{effort: effort, hashes: make(map[string]string)}
	n3.add(&wire.NSEC3{Hdr: wire.RR_Header{Name: "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom.test."}, Hash: wire.SHA1, NextDomain: "2T7B4G4VSA5SMI47K61MV5BV1A22BOJR"}, "test.")
	name := strings.Repeat("a.", 120) + "test."
	for range 3 {
		n3.deny(name, wire.TypeMX, "test.")
		name = "b" + name[1:]
	}
	if len(n3.hashes) > maxHashes {
		t.Errorf("%d hashes", len(n3.hashes))
	}
}
