package node

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"
)

// A browser is a real Chromium without a screen, driven over a pipe by the DevTools protocol: messages of
// JSON, each ended by a NUL.
type browser struct {
	t       *testing.T
	to      io.Writer
	from    *bufio.Reader
	session string
	last    int
}

// startBrowser opens a page in a Chromium that finds hostname at loopback.
func startBrowser(t *testing.T, hostname string) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("POSTHASTE_REQUIRE_PEERS") == "1" {
			t.Fatal("chromium is not installed, and POSTHASTE_REQUIRE_PEERS is set")
		}
		t.Skip("SKIPPED PEER: chromium is not installed: sh scripts/install-peers.sh installs it")
	}
	itsInput, ours, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	answers, itsOutput, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--user-data-dir="+t.TempDir(), "--ignore-certificate-errors", "--host-resolver-rules=MAP "+hostname+" 127.0.0.1",
		"--remote-debugging-pipe", "about:blank")
	cmd.ExtraFiles = []*os.File{itsInput, itsOutput} // 3 and 4, as the protocol has it
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	itsInput.Close()
	itsOutput.Close()
	patience := time.AfterFunc(2*time.Minute, func() { cmd.Process.Kill() })
	b := &browser{t: t, to: ours, from: bufio.NewReader(answers)}
	t.Cleanup(func() {
		io.WriteString(ours, `{"id":0,"method":"Browser.close"}`+"\x00") // if it has gone, all the better
		cmd.Wait()
		patience.Stop()
		ours.Close()
		answers.Close()
	})
	var target struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	b.call("Page.enable", nil, nil)
	return b
}

// packet is one of either direction.
type packet struct {
	ID     int             `json:"id,omitempty"`
	Method string          `json:"method,omitempty"`
	Params any             `json:"params,omitempty"`
	Sess   string          `json:"sessionId,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  *protocolError  `json:"error,omitempty"`
}

type protocolError struct {
	Message string `json:"message"`
}

// call runs a method and reads its result.
func (b *browser) call(method string, params, result any) {
	b.t.Helper()
	b.last++
	text, err := json.Marshal(packet{ID: b.last, Method: method, Params: params, Sess: b.session})
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.to.Write(append(text, 0)); err != nil {
		b.t.Errorf("chromium: %s: %v", method, err)
		return
	}
	m := b.until(func(m packet) bool { return m.ID == b.last })
	if m.Error != nil {
		b.t.Errorf("chromium: %s: %s", method, m.Error.Message)
		return
	}
	if result == nil {
		return
	}
	if err := json.Unmarshal(m.Result, result); err != nil {
		b.t.Errorf("chromium: %s: %v", method, err)
	}
}

// until reads messages up to one.
func (b *browser) until(wanted func(packet) bool) packet {
	b.t.Helper()
	for {
		text, err := b.from.ReadBytes(0)
		if err != nil {
			b.t.Errorf("chromium has gone: %v", err)
			return packet{}
		}
		var m packet
		if err := json.Unmarshal(text[:len(text)-1], &m); err != nil {
			b.t.Errorf("chromium: %v", err)
		}
		if wanted(m) {
			return m
		}
	}
}

// loaded waits until a page is there.
func (b *browser) loaded() {
	b.t.Helper()
	b.until(func(m packet) bool { return m.Method == "Page.loadEventFired" })
}

// open goes to an address as a click on a link does.
func (b *browser) open(url string) {
	b.t.Helper()
	b.call("Page.navigate", map[string]any{"url": url}, nil)
	b.loaded()
}

// eval returns what an expression is on the page.
func (b *browser) eval(expression string) string {
	b.t.Helper()
	var got struct{ Result struct{ Value any } }
	b.call("Runtime.evaluate", map[string]any{"expression": "String(" + expression + ")", "returnByValue": true}, &got)
	text, _ := got.Result.Value.(string)
	return text
}

// press sends Tab and Enter: a page must work by keyboard alone.
func (b *browser) press(key string, code int) {
	b.t.Helper()
	for _, kind := range []string{"rawKeyDown", "char", "keyUp"} {
		if kind == "char" && key == "Tab" {
			continue
		}
		params := map[string]any{"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code}
		if kind == "char" {
			params["text"] = "\r"
		}
		b.call("Input.dispatchKeyEvent", params, nil)
	}
}
