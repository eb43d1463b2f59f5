package inbound

import (
	"context"
	"errors"
	"testing"
	"time"

	"posthaste/mail"
)

// reports counts what it is given, and learns nothing from it.
type reports struct{ contents []string }

func (r *reports) Receive(_ context.Context, content []byte, _ time.Time) error {
	r.contents = append(r.contents, string(content))
	return errors.New("no report")
}

func TestAReaderReadsWhatIsDeliveredAllTheSame(t *testing.T) {
	r := new(reports)
	s := newSite(t, func(c *Config) {
		c.Readers = map[mail.Address]Reader{{Local: "bob", Domain: "north.test"}: r}
	})
	for _, to := range []string{"Bob", "cat"} {
		env := mail.Envelope{Recipients: []mail.Recipient{{Address: mail.Address{Local: to, Domain: "north.test"}}}}
		_, _, err := s.policy.Accept(t.Context(), Taking{}, env, mail.Bytes([]byte(letter)))
		must(t, err)
	}
	if len(r.contents) != 1 || r.contents[0] != letter {
		t.Errorf("read %q, want what came for bob", r.contents)
	}
	if len(s.inbox("bob")) != 1 || len(s.inbox("cat")) != 1 {
		t.Error("what was read was not delivered")
	}
}
