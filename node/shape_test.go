package node

import (
	"testing"
	"time"

	"posthaste/config"
	"posthaste/mail"
	"posthaste/queue"
)

// TestRatesHoldFromTheStart sends two messages of ann, who may send one an hour, and then one of bob.
func TestRatesHoldFromTheStart(t *testing.T) {
	n := startNode(t, func(c *config.Config) {
		c.Route.Default = "discard"
		c.SenderRates = []config.SenderRate{{Match: "ann@*", Rate: "1/1h"}}
	})
	left := func(from string) (count int) {
		for e, err := range n.queue.List(t.Context(), queue.Filter{}) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Envelope.From.Local == from {
				count++
			}
		}
		return count
	}
	put := func(from string) {
		env := mail.Envelope{From: mail.ReversePath{Address: mail.Address{Local: from, Domain: "north.test"}}, Received: time.Now(),
			Recipients: []mail.Recipient{{Address: mail.Address{Local: "cleo", Domain: "south.test"}}}}
		if _, err := n.queue.Put(t.Context(), env, mail.Bytes("Subject: x\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
	}
	put("ann")
	for left("ann") > 0 {
	}
	put("ann")
	put("bob")
	for left("bob") > 0 {
	}
	if left("ann") == 0 {
		t.Error("ann's second message left within the hour")
	}
}
