package main

import (
	"fmt"

	"posthaste/admin"
)

// A choice is the arguments and flags by which a verb gets its entries.
type choice struct {
	IDs []string `arg:"" optional:"" name:"id" help:"Queue IDs."`
	choiceFlags
}

// choiceFlags is a choice without its arguments.
type choiceFlags struct {
	selection
	All    bool `help:"All entries, where nothing else chooses."`
	DryRun bool `help:"Only say how many are chosen."`
}

func (c *choiceFlags) do(e *env, r admin.QueueDoRequest, done string) error {
	r.Select, r.All, r.DryRun = c.request(), c.All, c.DryRun
	return e.withAdmin(func(client *admin.Client) error {
		answer, err := admin.Call[admin.QueueDone](e.ctx, client, "queue/do", r)
		if err != nil {
			return err
		}
		return printDone(e, r, answer, done)
	})
}

// printDone tells of each entry that was named, or how many were chosen.
func printDone(e *env, r admin.QueueDoRequest, answer admin.QueueDone, done string) error {
	failed := false
	for _, result := range answer.Results {
		failed = failed || result.Error != ""
		switch {
		case e.out.json:
			e.out.object(result)
		case result.Error == "":
			e.out.say("%s %s", result.ID, done)
		default:
			fmt.Fprintf(e.err, "posthaste: %s\n", result.Error)
		}
	}
	if r.DryRun {
		e.out.say("%d chosen; nothing was done (--dry-run)", answer.Chosen)
	} else if len(r.IDs) == 0 {
		e.out.say("%d chosen, %d done", answer.Chosen, answer.Done)
	}
	if e.out.json && (r.DryRun || len(r.IDs) == 0) {
		e.out.object(struct {
			Chosen int `json:"chosen"`
			Done   int `json:"done"`
		}{answer.Chosen, answer.Done})
	}
	if failed {
		return errSilent
	}
	return nil
}

type (
	queueRetry   struct{ choice }
	queueRelease struct{ choice }
	queueRequeue struct{ choice }
	queueDelete  struct{ choice }
)

func (c *choice) verb(e *env, verb, done string) error {
	return c.do(e, admin.QueueDoRequest{Verb: verb, IDs: c.IDs}, done)
}

func (c *queueRetry) Run(e *env) error   { return c.verb(e, "retry", "is due now") }
func (c *queueRelease) Run(e *env) error { return c.verb(e, "release", "is due now") }
func (c *queueRequeue) Run(e *env) error { return c.verb(e, "requeue", "starts afresh") }
func (c *queueDelete) Run(e *env) error  { return c.verb(e, "delete", "is deleted") }

type queueHold struct {
	Because string `help:"Why: shown by queue list." placeholder:"TEXT"`
	choice
}

func (c *queueHold) Run(e *env) error {
	return c.do(e, admin.QueueDoRequest{Verb: "hold", IDs: c.IDs, Reason: c.Because}, "is on hold")
}

type queueReroute struct {
	Transport string   `arg:"" help:"As in transport tables: mx, smtp:host:port, smarthost:NAME …; - undoes it."`
	IDs       []string `arg:"" optional:"" name:"id" help:"Queue IDs."`
	choiceFlags
}

func (c *queueReroute) Run(e *env) error {
	return c.do(e, admin.QueueDoRequest{Verb: "reroute", IDs: c.IDs, Transport: c.Transport}, "goes by "+c.Transport)
}

type queueEdit struct {
	From     *string  `help:"Set the sender; <> is the null sender." placeholder:"ADDRESS"`
	Add      []string `help:"Add a recipient." placeholder:"ADDRESS"`
	Remove   []string `help:"Remove a recipient; nobody is told." placeholder:"ADDRESS"`
	Replace  []string `help:"Replace a recipient." placeholder:"OLD=NEW" sep:"none"`
	Priority *int8    `help:"Set the priority, -9 to 9; 0 is that of ordinary mail." placeholder:"N"`
	choice
}

func (c *queueEdit) Run(e *env) error {
	edit := admin.QueueEdit{Sender: c.From, Add: c.Add, Remove: c.Remove, Priority: c.Priority}
	for _, pair := range c.Replace {
		old, replacement, ok := cutPair(pair)
		if !ok {
			return fmt.Errorf("--replace %q: write OLD=NEW", pair)
		}
		edit.Remove, edit.Add = append(edit.Remove, old), append(edit.Add, replacement)
	}
	return c.do(e, admin.QueueDoRequest{Verb: "edit", IDs: c.IDs, Edit: edit}, "is changed")
}

// cutPair cuts at the last =, since an address such as prvs=x=ann@example.org has some before its @.
func cutPair(pair string) (old, replacement string, ok bool) {
	for i := len(pair) - 1; i > 0; i-- {
		if pair[i] == '=' {
			return pair[:i], pair[i+1:], i+1 < len(pair)
		}
	}
	return "", "", false
}
