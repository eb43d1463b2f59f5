package icap

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"posthaste/filter"
	"posthaste/filter/virus"
	"posthaste/filter/virus/clamdtest"
	"posthaste/mail"
	"posthaste/message"
)

// letter returns a message with body.
func letter(body string) *filter.Mail {
	content := []byte("From: ann@example.org\r\nSubject: hello\r\n\r\n" + body + "\r\n")
	return &filter.Mail{Envelope: &mail.Envelope{ID: "q1"}, Hostname: "mx.example.org", Content: content, Message: message.Parse(content)}
}

// newPeer runs c-icap with its echo service, and its virus scanner where that is installed, which asks
// clamd. It returns the URL without the service.
func newPeer(t testing.TB, clamd string) string {
	t.Helper()
	program := clamdtest.Program(t, "c-icap", "c-icap")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	dir := clamdtest.Folder(t)
	conf, log := filepath.Join(dir, "conf"), filepath.Join(dir, "log")
	lib := strings.TrimSuffix(module(t, "srv_echo.so", "c-icap"), "/srv_echo.so")
	text := fmt.Sprintf("PidFile %[1]s/pid\nCommandsSocket %[1]s/ctl\nPort %[2]s\nTmpDir %[1]s\nModulesDir %[3]s\nServicesDir %[3]s\nLoadMagicFile /etc/c-icap/c-icap.magic\n"+
		"TemplateDir /usr/share/c_icap/templates/\nTemplateDefaultLanguage en\nServerLog %[4]s\nAccessLog %[1]s/access\nStartServers 1\nMaxServers 2\nThreadsPerChild 8\nService echo srv_echo.so\n", dir, address, lib, log)
	if clamd != "" {
		text += "Service antivirus_module virus_scan.so\nvirus_scan.ScanFileTypes TEXT DATA EXECUTABLE ARCHIVE\nvirus_scan.MaxObjectSize 5M\nvirus_scan.SendPercentData 5\nvirus_scan.StartSendPercentDataAfter 2M\nvirus_scan.DefaultEngine clamd\nModule common clamd_mod.so\nclamd_mod.ClamdSocket " + clamd + "\n"
	}
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-N", "-f", conf)
	cmd.SysProcAttr = ownGroup() // its workers are processes of their own
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		killGroup(cmd.Process)
		cmd.Wait()
	})
	url := "icap://" + address
	clamdtest.Eventually(t, "c-icap answers", func() bool { return engine(t, url+"/echo", Config{}).Ping(t.Context()) == nil }, log)
	return url
}

// module returns the path of a module of c-icap.
func module(t testing.TB, name, debian string) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/*/c_icap/" + name)
	if len(found) == 0 {
		if os.Getenv("POSTHASTE_REQUIRE_PEERS") == "1" {
			t.Fatalf("%s is not installed: apt-get install %s", name, debian)
		}
		t.Skipf("SKIPPED PEER: %s is not installed: apt-get install %s", name, debian)
	}
	return found[0]
}

func engine(t testing.TB, url string, c Config) *Engine {
	t.Helper()
	c.URL = url
	e, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEchoOfCICAPIsClean(t *testing.T) {
	url := newPeer(t, "")
	for _, method := range []string{"RESPMOD", "REQMOD"} {
		e := engine(t, url+"/echo", Config{Method: method, Policy: virus.Policy{Found: mail.Reject}})
		for _, size := range []int{0, 500, 1000, 1024, 5000, 300_000, 5 << 20} { // within its preview and beyond
			if r, err := e.Scan(t.Context(), letter(strings.Repeat("x", size))); err != nil || r.Action != mail.Accept || len(r.Findings) > 0 {
				t.Errorf("%s with %d bytes: got %+v, %v", method, size, r, err)
			}
		}
	}
	if _, err := engine(t, url+"/nothing", Config{}).Scan(t.Context(), letter("x")); err == nil {
		t.Error("a service that does not exist is no error")
	}
}

func TestVirusScanOfCICAP(t *testing.T) {
	module(t, "virus_scan.so", "libc-icap-mod-virus-scan")
	clamd := clamdtest.New(t, "")
	url := newPeer(t, clamd.Socket)
	for _, method := range []string{"RESPMOD", "REQMOD"} {
		e := engine(t, url+"/antivirus_module", Config{Method: method, Policy: virus.Policy{Found: mail.Reject}})
		for _, c := range []struct {
			name, body string
			found      string // the end of the reason
		}{
			{"clean", "nothing", ""},
			{"clean and long", strings.Repeat("nothing\r\n", 100_000), ""},
			{"a virus", clamdtest.Signature, clamdtest.Virus},
			{"a virus after the server began to give back the content", strings.Repeat("nothing\r\n", 400_000) + clamdtest.Signature, "the server changes the content"},
			{"a virus beyond the preview", strings.Repeat("nothing\r\n", 100_000) + clamdtest.Signature, clamdtest.Virus},
		} {
			r, err := e.Scan(t.Context(), letter(c.body))
			if err != nil || (r.Action == mail.Reject) != (c.found != "") || !strings.HasSuffix(r.Reason, c.found) {
				t.Errorf("%s, %s: got %+v, %v", method, c.name, r, err)
			}
		}
	}
}
