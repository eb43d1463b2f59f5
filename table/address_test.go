package table

import (
	"context"
	"slices"
	"strings"
	"testing"

	"posthaste/mail"
)

// recorder records the keys it is asked for and has none.
type recorder struct {
	keys  []string
	whole bool
}

func (r *recorder) Lookup(_ context.Context, key string) (string, bool, error) {
	r.keys = append(r.keys, key)
	return "", false, nil
}

func (r *recorder) wholeKeys() bool { return r.whole }

func TestKeyOrder(t *testing.T) {
	for _, tt := range []struct {
		claim string
		ask   func(Table)
		whole bool
		want  string
	}{
		{"an address with tag", address("ann+x+y", "example.org"), false, "ann+x+y@example.org ann@example.org @example.org"},
		{"a local-part that begins with the separator", address("+x", "example.org"), false, "+x@example.org @example.org"},
		{"an address without domain", address("ann+x", ""), false, "ann+x ann"},
		{"a quoted local-part", address("a;b", "example.org"), false, `"a;b"@example.org @example.org`},
		{"patterns see the whole", address("ann+x", "example.org"), true, "ann+x@example.org"},
		{"a domain", domain("a.b.example.org"), false, "a.b.example.org .b.example.org .example.org .org *"},
		{"a literal", domain("[192.0.2.1]"), false, "[192.0.2.1] *"},
		{"patterns see the whole domain", domain("a.example.org"), true, "a.example.org"},
	} {
		r := &recorder{whole: tt.whole}
		tt.ask(r)
		if got := strings.Join(r.keys, " "); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.claim, got, tt.want)
		}
	}
	if n := len(DomainKeys(strings.Repeat("a.", 100) + "org")); n != 1+maxParents {
		t.Errorf("%d keys of a domain of 101 labels", n)
	}
	if keys := DomainKeys(strings.Repeat("a.", 100) + "org"); !slices.Contains(keys, ".org") {
		t.Error("the parents nearest to the root are left out")
	}
}

func address(local, dom string) func(Table) {
	return func(t Table) { Address(context.Background(), t, mail.Address{Local: local, Domain: dom}, '+') }
}

func domain(name string) func(Table) {
	return func(t Table) { Domain(context.Background(), t, name) }
}
