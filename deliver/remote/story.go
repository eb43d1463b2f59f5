package remote

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"posthaste/mail"
	"posthaste/trace"
)

// record leaves an event about j. Its sentences are for people who see mail at work for the first
// time.
func (a *Agent) record(j *job, e trace.Event) {
	e.ID, e.From = j.env.ID, sender(j.env.From)
	a.cfg.Trace.Record(e)
}

func sender(p mail.ReversePath) string {
	if p.Null() {
		return "<>"
	}
	return p.String()
}

func (a *Agent) traceNoRoute(id mail.QueueID, domain string, status *mail.Status) {
	a.cfg.Trace.Record(trace.Event{ID: id, Step: trace.DNS, Asked: "MX " + domain, Answered: status.Error(),
		Text: "found no way to " + domain + ": " + status.Text})
}

func (a *Agent) traceRoute(j *job) {
	if j.dest.Domain == "" {
		return // a fixed route asks nothing
	}
	records := make([]string, len(j.dest.Hosts))
	for i, h := range j.dest.Hosts {
		records[i] = fmt.Sprintf("%d %s", h.Preference, h.Name)
	}
	text := "the DNS says that mail for " + j.dest.Domain + " goes to " + j.dest.Hosts[0].Name
	for _, h := range j.dest.Hosts[1:] {
		joint := ", or else to "
		if h.Preference == j.dest.Hosts[0].Preference {
			joint = ", or as well to "
		}
		text += joint + h.Name
	}
	if j.dest.Hosts[0].Name == j.dest.Domain {
		text = j.dest.Domain + " has no MX record, so its own address takes its mail"
	}
	a.record(j, trace.Event{Step: trace.DNS, OK: true, Asked: "MX " + j.dest.Domain, Answered: strings.Join(records, ", "), Text: text})
}

func (a *Agent) traceNoAddress(j *job, h Host, status *mail.Status) {
	a.record(j, trace.Event{Step: trace.DNS, Peer: h.Name, Asked: "A, AAAA " + h.Name, Answered: status.Error(), Text: status.Text})
}

func (a *Agent) traceUnfit(j *job, h Host, fail *failure) {
	a.record(j, trace.Event{Step: trace.Connect, Peer: h.Name, Answered: fail.status.Error(), Text: "did not connect to " + h.Name + ": " + fail.status.Text})
}

func (a *Agent) traceConnectFailed(j *job, h Host, addr netip.AddrPort, fail *failure, took time.Duration, next string) {
	a.cfg.Log.Debug("host failed", "qid", j.env.ID, "peer", peerName(h, addr), "status", fail.status.Error())
	text := "could not use " + peerName(h, addr) + ": " + fail.status.Text
	if next != "" {
		text += "; " + next
	}
	a.record(j, trace.Event{Step: trace.Connect, Peer: peerName(h, addr), Answered: fail.status.Error(), Reason: next, Text: text, Took: took})
}

func (a *Agent) traceConnected(j *job, s *session, took time.Duration) {
	text := "connected to " + s.address() + ", "
	reason := ""
	switch {
	case s.secured == "":
		text += "not encrypted"
	case s.verified == nil:
		text += "encrypted with " + s.secured + ", its certificate proves its name" + s.because()
	default:
		reason = s.verified.Error()
		text += "encrypted with " + s.secured + ", though its certificate does not prove its name"
	}
	a.record(j, trace.Event{Step: trace.Connect, OK: true, Peer: s.address(), Answered: s.ext.name, Reason: reason, Text: text, Took: took})
}

func (a *Agent) traceReused(j *job, s *session) {
	a.record(j, trace.Event{Step: trace.Connect, OK: true, Peer: s.address(), Text: "goes on over a connection to " + s.address() + " that was still open"})
}

// traceOutcomes leaves one event for each group of recipients that share an answer.
func (a *Agent) traceOutcomes(j *job) {
	var order []*mail.Status
	groups := make(map[*mail.Status][]mail.Address)
	for i, status := range j.outcomes {
		if groups[status] == nil {
			order = append(order, status)
		}
		groups[status] = append(groups[status], j.rcpts[i].Address)
	}
	for _, status := range order {
		to := groups[status]
		a.record(j, trace.Event{Step: trace.Deliver, OK: status.OK(), Peer: status.Peer, To: to,
			Answered: status.Error(), Text: outcomeText(status, to)})
	}
}

func outcomeText(status *mail.Status, to []mail.Address) string {
	who := to[0].String()
	if len(to) > 1 {
		who = fmt.Sprintf("%s and %d more", who, len(to)-1)
	}
	host := status.Peer
	switch {
	case status.OK():
		return host + " took the message for " + who
	case host == "":
		host = "no host"
	}
	if status.Permanent() {
		if status.Peer == "" {
			return "the message for " + who + " cannot be delivered: " + status.Text
		}
		return host + " refused the message for " + who + ": " + status.Text
	}
	if status.Peer == "" {
		return "the message for " + who + " has to wait: " + status.Text
	}
	return host + " cannot take the message for " + who + " now: " + status.Text
}
