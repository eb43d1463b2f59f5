package lookalike

import "strings"

// Bounds on an Index.
const (
	maxIndexed = 200_000 // domains
	minSimilar = 6       // letters: shorter words differ by one letter all the time
	maxSimilar = 63      // letters of a label
)

// An Index holds domains and finds those that look like another. A nil Index is empty. It is read by
// several at the same time and never changes.
type Index struct {
	domains map[string]bool
	looks   map[string]string   // from skeleton to domain
	near    map[string][]string // from a label with a letter left out, and what follows the label
}

// maxNear is how many domains one key of near leads to.
const maxNear = 8

// NewIndex returns an Index of domains. It keeps the registered part of each: mail.example.org is
// example.org.
func NewIndex(domains []string) *Index {
	x := &Index{domains: map[string]bool{}, looks: map[string]string{}, near: map[string][]string{}}
	for _, d := range domains[:min(len(domains), maxIndexed)] {
		d = Organization(d)
		if x.domains[d] || d == "" {
			continue
		}
		x.domains[d] = true
		x.looks[Skeleton(Unicode(d))] = d
		for _, key := range shortened(d) {
			if len(x.near[key]) < maxNear {
				x.near[key] = append(x.near[key], d)
			}
		}
	}
	return x
}

// Has tells whether domain is there, or the organization it belongs to.
func (x *Index) Has(domain string) bool { return x != nil && x.domains[Organization(domain)] }

// Like finds a domain that domain looks like without being it, and says how.
func (x *Index) Like(domain string) (other, how string, ok bool) {
	if x == nil || domain == "" || x.Has(domain) {
		return "", "", false
	}
	org := Organization(domain)
	if other, ok := x.looks[Skeleton(Unicode(org))]; ok {
		return other, "looks like", true
	}
	for _, key := range shortened(org) {
		for _, other := range x.near[key] {
			if similar(org, other) {
				return other, "is one letter from", true
			}
		}
	}
	// bank.example.evil.test: the begin is what a narrow screen shows.
	for before := strings.ToLower(domain); before != ""; {
		dot := strings.LastIndexByte(before, '.')
		if dot < 0 {
			break
		}
		before = before[:dot]
		for part := before; part != ""; {
			if x.domains[part] && strings.Contains(part, ".") {
				return part, "begins as", true
			}
			_, rest, more := strings.Cut(part, ".")
			if !more {
				break
			}
			part = rest
		}
	}
	return "", "", false
}

// shortened returns the first label of a domain, as it is and with each letter left out, each with what
// follows. Two labels that differ by a letter share one of them.
func shortened(domain string) []string {
	label, rest, _ := strings.Cut(domain, ".")
	if len(label) < minSimilar || len(label) > maxSimilar {
		return nil
	}
	keys := []string{domain}
	for i := range len(label) {
		keys = append(keys, label[:i]+label[i+1:]+"."+rest)
	}
	return keys
}

// similar tells whether a and b differ by a letter that is added, missing, another, or changed places with
// the next.
func similar(a, b string) bool {
	if len(a) < len(b) {
		a, b = b, a
	}
	i := 0
	for i < len(b) && a[i] == b[i] {
		i++
	}
	j := 0
	for j < len(b)-i && a[len(a)-1-j] == b[len(b)-1-j] {
		j++
	}
	x, y := a[i:len(a)-j], b[i:len(b)-j]
	switch {
	case len(x) == 1 && len(y) <= 1:
		return true
	case len(x) == 2 && len(y) == 2:
		return x[0] == y[1] && x[1] == y[0]
	}
	return false
}
