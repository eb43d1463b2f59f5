package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"posthaste/admin"
	"posthaste/config"
	"posthaste/mail"
	"posthaste/quarantine"
)

type quarantineCommands struct {
	List    quarantineList    `cmd:"" help:"List the messages that are kept apart, the newest first."`
	Show    quarantineShow    `cmd:"" help:"Print the header of a message, why it was kept apart, and the beginning of its text."`
	Release quarantineRelease `cmd:"" help:"Deliver messages after all, and learn that they are no spam."`
	Delete  quarantineDelete  `cmd:"" help:"Delete messages for good."`
}

type quarantineList struct {
	For   string          `help:"Only what is kept for this user." placeholder:"ADDRESS"`
	Since config.Duration `help:"Only what came in this time, as 24h or 7d." placeholder:"TIME"`
	Limit int             `help:"Most messages that are listed (1 to 10000)." default:"1000"`
}

func (c *quarantineList) Run(e *env) error {
	return e.withAdmin(func(client *admin.Client) error {
		now := time.Now()
		r := admin.QuarantineRequest{For: c.For, Limit: c.Limit}
		if c.Since > 0 {
			r.Since = now.Add(-c.Since.D())
		}
		t := e.out.table("ID", "CAME", ">SIZE", "FOR", "FROM", "SUBJECT", "WHY")
		for m, err := range admin.List[quarantine.Entry](e.ctx, client, "quarantine/list", r) {
			if err != nil {
				return err
			}
			if e.out.json {
				if err := e.out.object(m); err != nil {
					return err
				}
				continue
			}
			t.row(string(m.ID), timeText(m.Time, now), bytesText(m.Size), quarantinedFor(&m), cut(m.Author, 40), cut(m.Subject, 40), m.Reason)
		}
		t.print("nothing is in the quarantine")
		return nil
	})
}

// quarantinedFor names for whom a message is still kept.
func quarantinedFor(m *quarantine.Entry) string {
	var names []string
	for _, to := range m.Recipients {
		if to.State == quarantine.Kept {
			names = append(names, to.Address.String())
		}
	}
	if len(names) > 1 {
		return fmt.Sprintf("%s and %d more", names[0], len(names)-1)
	}
	return strings.Join(names, "")
}

// cut bounds a stranger's words, as a column of a table.
func cut(s string, max int) string {
	s = oneLine(s)
	if runes := []rune(s); len(runes) > max {
		return string(runes[:max-1]) + "…"
	}
	return s
}

type quarantineShow struct {
	ID string `arg:"" help:"The message, as list names it."`
}

func (c *quarantineShow) Run(e *env) error {
	return e.withAdmin(func(client *admin.Client) error {
		m, err := admin.Call[quarantine.Shown](e.ctx, client, "quarantine/show", admin.QuarantineRequest{ID: c.ID})
		if err != nil {
			return err
		}
		if e.out.json {
			return e.out.object(m)
		}
		e.out.quarantined(&m)
		return nil
	})
}

// quarantined prints one message in words.
func (p *printer) quarantined(m *quarantine.Shown) {
	p.say("%s  %s", p.bold(string(m.ID)), oneLine(m.Subject))
	p.say("from      %s (envelope %s)", oneLine(m.Author), m.Envelope.From.Path())
	for _, to := range m.Recipients {
		p.say("to        %s: %s", to.Address, to.State)
	}
	p.say("came      %s under the queue ID %s", m.Time.Local().Format(time.DateTime), m.Envelope.ID)
	p.say("size      %s", bytesText(m.Size))
	p.say("why       %s", oneLine(m.Reason))
	if findings := slices.Clone(m.Verdict.Findings); len(findings) > 0 {
		p.say("score     %.1f, from", m.Verdict.Score)
		slices.SortStableFunc(findings, func(a, b mail.Finding) int { return cmp.Compare(b.Weight, a.Weight) })
		for _, f := range findings {
			p.say("  %6.1f  %s  %s", f.Weight, f.Rule, p.dim(oneLine(cmp.Or(f.Evidence, f.Meaning))))
		}
	}
	if m.Header == "" {
		p.say("its content is gone")
		return
	}
	p.say("\n%s", manyLines(m.Header))
	p.say("%s", manyLines(m.Preview))
	p.say("%s", p.dim("posthaste quarantine release "+string(m.ID)+" delivers it, quarantine delete removes it"))
}

// manyLines is oneLine for text that may have several.
func manyLines(s string) string {
	lines := strings.Split(strings.NewReplacer("\r\n", "\n", "\t", "    ").Replace(s), "\n")
	for i := range lines {
		lines[i] = oneLine(lines[i])
	}
	return strings.Join(lines, "\n")
}

type quarantineRelease struct {
	IDs   []string `arg:"" name:"id" help:"The messages, as list names them."`
	For   string   `help:"Only for this user." placeholder:"ADDRESS"`
	Trust bool     `help:"Trust the senders from now on, where mail is proven to be from them."`
}

func (c *quarantineRelease) Run(e *env) error {
	return quarantineEach(e, "quarantine/release", "released", c.IDs, admin.QuarantineRequest{For: c.For, Trust: c.Trust})
}

type quarantineDelete struct {
	IDs  []string `arg:"" name:"id" help:"The messages, as list names them."`
	For  string   `help:"Only for this user." placeholder:"ADDRESS"`
	Spam bool     `help:"Learn that they are spam."`
}

func (c *quarantineDelete) Run(e *env) error {
	return quarantineEach(e, "quarantine/delete", "deleted", c.IDs, admin.QuarantineRequest{For: c.For, Spam: c.Spam})
}

// quarantineEach asks for an operation on each message and goes on after a failure.
func quarantineEach(e *env, operation, done string, ids []string, r admin.QuarantineRequest) error {
	return e.withAdmin(func(client *admin.Client) error {
		failed := false
		for _, id := range ids {
			r.ID = id
			if _, err := admin.Call[struct{}](e.ctx, client, operation, r); err != nil {
				fmt.Fprintf(e.err, "posthaste: %v\n", err)
				failed = true
				continue
			}
			e.out.say("%s %s", done, id)
		}
		if failed {
			return errSilent
		}
		return nil
	})
}
