package admin

import (
	"slices"
	"testing"

	"posthaste/mail"
	"posthaste/trace"
)

func TestAnAnswerIsNotTwoDecisions(t *testing.T) {
	verdict := trace.Event{ID: "1", Session: "a", Step: trace.Check, Answered: "reject: 550 5.7.1 no", Verdict: &mail.Verdict{Action: mail.Reject}}
	bob := []mail.Address{{Local: "bob", Domain: "north.test"}}
	answer := trace.Event{Session: "a", Step: trace.Receive, Answered: "550 5.7.1 no", Peer: "mx.far.test [192.0.2.1]", To: bob}
	for _, c := range []struct {
		name  string
		story []trace.Event
		want  []string // the answers
	}{
		{"the answer of a verdict is told with it", []trace.Event{verdict, answer}, []string{verdict.Answered}},
		{"another answer in the session is told", []trace.Event{verdict, {Session: "a", Step: trace.Receive, Answered: "452 4.3.1 full"}}, []string{verdict.Answered, "452 4.3.1 full"}},
		{"the same answer in another session is told", []trace.Event{verdict, {Session: "b", Step: trace.Receive, Answered: "550 5.7.1 no"}}, []string{verdict.Answered, "550 5.7.1 no"}},
		{"a refusal without verdict is told", []trace.Event{answer}, []string{answer.Answered}},
		{"what went well is none", []trace.Event{{Step: trace.Receive, OK: true, Answered: "250 OK"}}, nil},
		{"deliveries are no decisions of ours", []trace.Event{{Step: trace.Deliver, Answered: "550 no"}}, nil},
	} {
		var got []string
		for _, e := range decisions(c.story) {
			got = append(got, e.Answered)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if merged := decisions([]trace.Event{verdict, answer})[0]; merged.Peer != answer.Peer || !slices.Equal(merged.To, bob) {
		t.Errorf("client and recipients are lost: %+v", merged)
	}
}
