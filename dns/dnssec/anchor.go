package dnssec

import (
	"fmt"

	wire "github.com/miekg/dns"
)

// RootAnchors are the keys of the root zone, of 2017 and 2024, as IANA publishes them
// (https://data.iana.org/root-anchors/root-anchors.xml).
func RootAnchors() []string {
	return []string{
		". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D",
		". IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16",
	}
}

// Anchors are where proofs begin: by zone, the DS records of its keys.
type Anchors map[string][]*wire.DS

// ParseAnchors reads DS and DNSKEY records in the form of master files.
func ParseAnchors(records []string) (Anchors, error) {
	anchors := make(Anchors)
	for _, text := range records {
		rr, err := wire.NewRR(text)
		if err != nil {
			return nil, fmt.Errorf("dnssec: trust anchor %q: %w", text, err)
		}
		var ds *wire.DS
		switch rr := rr.(type) {
		case *wire.DS:
			ds = rr
		case *wire.DNSKEY:
			ds = rr.ToDS(wire.SHA256)
		}
		if ds == nil {
			return nil, fmt.Errorf("dnssec: trust anchor %q: want a DS or DNSKEY record, such as \". IN DS 20326 8 2 E06D…\"", text)
		}
		name := wire.CanonicalName(ds.Hdr.Name)
		anchors[name] = append(anchors[name], ds)
	}
	return anchors, nil
}
