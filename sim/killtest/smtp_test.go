package killtest

import (
	"context"
	"fmt"
	"net"
	"regexp"
	"sync"
	"testing"
	"time"

	"posthaste/mail"
	"posthaste/sim"
	"posthaste/smtpd"
)

// A sender sends letters of its own kind over SMTP until it is told to stop. A letter whose reply was
// lost is sent again, as every mail program does.
type sender struct {
	name    string
	service string
	from    string
	to      [][]string // in turn

	sent []*letter
}

// A letter is what a sender knows of one message.
type letter struct {
	sim.Letter
	promised bool
	lost     int // replies to the end of data that were lost
}

func (s *sender) run(ctx context.Context, server *server) {
	for n := 0; ctx.Err() == nil; n++ {
		l := &letter{Letter: sim.Letter{ID: fmt.Sprintf("%s-%d", s.name, n), From: s.from, To: s.to[n%len(s.to)], Body: s.name}}
		if n%10 == 9 {
			l.Body = sim.Noise(uint64(n), 200_000)
		}
		s.sent = append(s.sent, l)
		for !l.promised && ctx.Err() == nil {
			if !s.try(server, l) {
				time.Sleep(20 * time.Millisecond) // the program is being started again
			}
		}
	}
}

// try sends a letter once and tells whether that is settled.
func (s *sender) try(server *server, l *letter) bool {
	nc, err := server.dial(s.service)
	if err != nil {
		return false
	}
	defer nc.Close()
	_, outcome, err := sim.Submit(nc, s.service == "submission", l.Letter)
	switch outcome {
	case sim.Promised:
		l.promised = true
	case sim.Unknown:
		l.lost++
	}
	return err == nil
}

// A sink is another mail host, which is never killed.
type sink struct {
	mu    sync.Mutex // guards copies
	taken map[string]int
}

// serveSink runs a sink on ln until the test ends.
func serveSink(t *testing.T, ln net.Listener) *sink {
	k := &sink{taken: map[string]int{}}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	server := smtpd.New(smtpd.Config{Hostname: "mx.far.test", Recipients: k, Acceptor: k, SpoolDir: t.TempDir()})
	go func() { defer close(done); server.Serve(ctx, ln) }()
	t.Cleanup(func() { stop(); <-done })
	return k
}

// CheckRecipient implements smtpd.Recipients.
func (k *sink) CheckRecipient(context.Context, *smtpd.Session, mail.Envelope, mail.Recipient) (smtpd.Fate, error) {
	return smtpd.Fate{}, nil
}

// Accept implements smtpd.Acceptor.
func (k *sink) Accept(_ context.Context, _ *smtpd.Session, env mail.Envelope, content mail.Content) (mail.QueueID, []error, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range env.Recipients {
		k.taken[idOf(string(content.Bytes()))+" "+r.Address.String()]++
	}
	return mail.NewQueueID(time.Now(), 1, 1), nil, nil
}

func (k *sink) copies(id, to string) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.taken[id+" "+to]
}

var messageID = regexp.MustCompile(`(?mi)^Message-ID: <([^@>]+)@sim\.test>`)

// idOf returns the ID of the letter that a message is.
func idOf(content string) string {
	if found := messageID.FindStringSubmatch(content); found != nil {
		return found[1]
	}
	return ""
}
