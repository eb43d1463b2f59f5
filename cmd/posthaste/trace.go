package main

import (
	"fmt"
	"strings"
	"time"

	"posthaste/admin"
	"posthaste/trace"
)

type traceCommand struct {
	Key   string `arg:"" optional:"" help:"A queue ID, an address, a Message-ID, or the ref of a reply. Default: the latest events of all."`
	Limit int    `help:"Most events, the latest." default:"1000"`
}

func (c *traceCommand) Run(e *env) error {
	return e.withAdmin(func(client *admin.Client) error {
		printed := 0
		for event, err := range admin.List[trace.Event](e.ctx, client, "trace", admin.TraceRequest{Key: c.Key, Limit: c.Limit}) {
			if err != nil {
				return err
			}
			printed++
			if e.out.json {
				e.out.object(event)
				continue
			}
			e.out.event(event)
		}
		if printed == 0 && c.Key != "" {
			return fmt.Errorf("nothing is recorded of %q: give a queue ID, an address as ann@example.org, a Message-ID or the ref of a reply; events are kept for trace.keep", c.Key)
		}
		return nil
	})
}

// event prints one step of a story: a line, and below it what the other side said.
func (p *printer) event(e trace.Event) {
	mark := p.green("✓")
	if !e.OK {
		mark = p.red("✗")
	}
	id := string(e.ID)
	if id == "" {
		id = strings.Repeat("·", 16)
	}
	fmt.Fprintf(p.w, "%s  %s  %s %s  %s", p.dim(timeText(e.Time, time.Now())), p.dim(id), mark, p.bold(fmt.Sprintf("%-10s", e.Step)), e.Text)
	if e.Took > 0 {
		fmt.Fprint(p.w, p.dim(fmt.Sprintf(" (%s)", e.Took.Round(time.Millisecond/10))))
	}
	fmt.Fprintln(p.w)
	for _, detail := range []struct{ name, text string }{{"peer", e.Peer}, {"asked", e.Asked}, {"answered", e.Answered}, {"reason", e.Reason}} {
		if detail.text != "" {
			fmt.Fprintf(p.w, "%40s %s %s\n", "", p.dim(detail.name), strings.ReplaceAll(detail.text, "\n", " / "))
		}
	}
}
