package query

import (
	"strings"
	"testing"
)

func TestExpand(t *testing.T) {
	for _, tt := range []struct {
		template, key, want string
		ok                  bool
	}{
		{"<%s>", "ann@example.org", "<ANN@EXAMPLE.ORG>", true},
		{"%u at %d, 5%%", "a@b@example.org", "A@B at EXAMPLE.ORG, 5%", true},
		{"%u", "example.org", "EXAMPLE.ORG", true},
		{"%d", "example.org", "", false},
		{"%u", "@example.org", "", false},
		{"%d", "ann@", "", false},
	} {
		q, err := Parse(tt.template)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := q.Expand(tt.key, strings.ToUpper); got != tt.want || ok != tt.ok {
			t.Errorf("%s of %s is %q, %v; want %q, %v", tt.template, tt.key, got, ok, tt.want, tt.ok)
		}
	}
}
