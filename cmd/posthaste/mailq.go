package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"

	"posthaste/admin"
)

// mailq prints the queue in the form that scripts know from Postfix.
func (e *env) mailq(context.Context) int {
	return e.status(e.withAdmin(func(client *admin.Client) error {
		w := bufio.NewWriter(e.out.w)
		defer w.Flush()
		count, bytes := 0, int64(0)
		for line, err := range admin.Lines(e.ctx, client, "queue/list", admin.QueueRequest{}) {
			if err != nil {
				return err
			}
			var q queueEntry
			if err := json.Unmarshal(line, &q); err != nil {
				return fmt.Errorf("mailq: %w", err)
			}
			if count == 0 {
				fmt.Fprintln(w, "-Queue ID-         --Size-- ----Arrival Time---- -Sender/Recipient-------")
			}
			q.mailq(w)
			count, bytes = count+1, bytes+q.Size
		}
		switch count {
		case 0:
			fmt.Fprintln(w, "Mail queue is empty")
		case 1:
			fmt.Fprintf(w, "-- %d Kbytes in 1 Request.\n", bytes/1024)
		default:
			fmt.Fprintf(w, "-- %d Kbytes in %d Requests.\n", bytes/1024, count)
		}
		return nil
	}))
}

// mailq writes an entry: * marks what is being delivered, ! what is on hold, # what is corrupt.
func (q *queueEntry) mailq(w *bufio.Writer) {
	mark := map[string]string{"active": "*", "hold": "!", "corrupt": "#"}[q.State]
	from := q.Sender
	if from == "" {
		from = "MAILER-DAEMON"
	}
	fmt.Fprintf(w, "%-17s %9d %s  %s\n", q.ID+mark, q.Size, q.Created.Local().Format("Mon Jan _2 15:04:05"), from)
	if q.Reason != "" {
		fmt.Fprintf(w, "(%s)\n", q.Reason)
	}
	for _, r := range q.Recipients {
		if r.State == "delivered" || r.State == "failed" {
			continue
		}
		if answer := r.answer(); answer != "" {
			fmt.Fprintf(w, "    (%s)\n", answer)
		}
		fmt.Fprintf(w, "%49s%s\n", "", r.Address)
	}
	fmt.Fprintln(w)
}
