package submit

import (
	"testing"

	"posthaste/mail"
)

// TestHeaderThatOthersReadDifferently submits, as BDAT lets one, header fields that another host sees
// once a bare CR has become a line break.
func TestHeaderThatOthersReadDifferently(t *testing.T) {
	for _, header := range []string{
		"Subject: x\rFrom: bob@south.test\r\nFrom: ann@north.test\r\n",
		"From: ann@north.test\r\nSubject: x\r\rbody",
	} {
		var q shelf
		_, err := submitter(&q).Submit(t.Context(), ann, envelope("ann@north.test", "bob@south.test"), mail.Bytes(header+"\r\nbody\r\n"))
		if status := mail.StatusOf(err); status.Code != 550 || status.Enhanced != "5.6.0" || q.puts > 0 {
			t.Errorf("%q: %v, goes out as %q", header, err, q.content)
		}
	}
	var q shelf
	content := "From: ann@north.test\nSubject: lines of LF\n\nbody\r\x00"
	if _, err := submitter(&q).Submit(t.Context(), ann, envelope("ann@north.test", "bob@south.test"), mail.Bytes(content)); err != nil {
		t.Errorf("a bare CR and a NUL in the body: %v", err)
	}
}
