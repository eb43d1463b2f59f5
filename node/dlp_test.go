package node

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"posthaste/config"
)

// A user's mail goes by the rules of [[dlp]] and gets the disclaimer of its domain before it is queued.
func TestWhatUsersSendIsLookedAtAndGetsADisclaimer(t *testing.T) {
	n := startNode(t, func(c *config.Config) {
		c.DLP = []config.DLP{{Name: "cards", Detect: []string{"card"}, Count: 1, Share: 30, Outside: true, Action: "block"}}
		c.Disclaimers = []config.Disclaimer{{Domain: "north.test", Text: "Ask before you reply."}}
	})
	login := base64.StdEncoding.EncodeToString([]byte("\x00ann@north.test\x00" + password))
	send := func(to, body string) string {
		out := talk(t, n, "submission", fmt.Sprintf("EHLO c.test\r\nAUTH PLAIN %s\r\nMAIL FROM:<ann@north.test>\r\nRCPT TO:<%s>\r\nDATA\r\n"+
			"Subject: x\r\n\r\n%s\r\n.\r\nQUIT\r\n", login, to, body), 0)
		_, answer, _ := strings.Cut(out, "\r\n354 ")
		_, answer, _ = strings.Cut(answer, "\r\n")
		return answer
	}
	if got := send("eve@else.test", "pay with 4111 1111 1111 1111"); !strings.HasPrefix(got, "550 5.7.1 ") || !strings.Contains(got, "ends in 1111") {
		t.Errorf("a card to the outside: %q", got)
	}
	if got := send("bob@north.test", "pay with 4111 1111 1111 1111"); !strings.HasPrefix(got, "250 ") {
		t.Errorf("a card to a colleague: %q", got)
	}
	if got := inbox(t, n, "bob", 1)[0]; !strings.Contains(got, "1111 1111\r\n\r\nAsk before you reply.\r\n") {
		t.Errorf("delivered %q", got)
	}
}
