package mail

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestQueueIDCarriesTimeAndNode(t *testing.T) {
	when := time.UnixMilli(1795000000123)
	id := NewQueueID(when, 1234, 0xabcdef)
	if !id.Time().Equal(when) || id.Node() != 1234 {
		t.Errorf("%s: got %v on node %d, want %v on 1234", id, id.Time(), id.Node(), when)
	}
	if later := NewQueueID(when.Add(time.Millisecond), 0, 0); later <= id {
		t.Errorf("%s does not sort after %s", later, id)
	}
	if other := NewQueueID(when, 1234, 0xabcdee); other >= id {
		t.Errorf("%s does not sort before %s", other, id)
	}
	if got, err := ParseQueueID(string(id)); err != nil || got != id {
		t.Errorf("ParseQueueID(%s) = %s, %v", id, got, err)
	}
	for _, bad := range []string{"", "short", "0123456789abcdeU", "0123456789abcdef0"} {
		if _, err := ParseQueueID(bad); !errors.Is(err, ErrQueueID) {
			t.Errorf("ParseQueueID(%q) = %v, want ErrQueueID", bad, err)
		}
	}
}

func TestAddressText(t *testing.T) {
	for _, c := range []struct {
		address Address
		want    string
	}{
		{Address{"ann", "north.test"}, "ann@north.test"},
		{Address{"ann.b+tag", "north.test"}, "ann.b+tag@north.test"},
		{Address{"a b", "north.test"}, `"a b"@north.test`},
		{Address{`a"\`, "north.test"}, `"a\"\\"@north.test`},
		{Address{"a..b", "north.test"}, `"a..b"@north.test`},
		{Address{"a@b", "north.test"}, `"a@b"@north.test`},
		{Address{"", "north.test"}, `""@north.test`},
		{Address{"postmaster", ""}, "postmaster"},
		{Address{}, ""},
		{Address{"jörg", "north.test"}, "jörg@north.test"},
	} {
		if got := c.address.String(); got != c.want {
			t.Errorf("%#v prints %s, want %s", c.address, got, c.want)
		}
		var back Address
		if back.UnmarshalText([]byte(c.want)); back != c.address {
			t.Errorf("%s reads as %#v, want %#v", c.want, back, c.address)
		}
	}
}

func TestStatusOfUnknownErrorIsTemporary(t *testing.T) {
	if s := StatusOf(errors.New("disk on fire")); !s.Temporary() || s.Code != 451 {
		t.Errorf("got %v, want a 451", s)
	}
	wrapped := fmt.Errorf("queue: %w", NewStatus(550, "5.1.1", "no %s", "bob"))
	if s := StatusOf(wrapped); !s.Permanent() || s.Error() != "550 5.1.1 no bob" {
		t.Errorf("got %v, want 550 5.1.1 no bob", s)
	}
}

func TestNotifyDefault(t *testing.T) {
	var unset Notify
	if !unset.Wants(NotifyFailure) || !unset.Wants(NotifyDelay) || unset.Wants(NotifySuccess) {
		t.Error("unset NOTIFY must ask for failure and delay only")
	}
	if NotifyNever.Wants(NotifyFailure) {
		t.Error("NEVER must ask for nothing")
	}
}
