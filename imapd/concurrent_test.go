package imapd

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// A mirror is a client's picture of a mailbox, made only of what the server tells: the UID of each
// message number, 0 where it was not told yet.
type mirror struct {
	t    *testing.T
	name string
	net.Conn
	r    *bufio.Reader
	uids []int
	all  []int // of the last SEARCH
}

func (m *mirror) do(command string) string {
	fmt.Fprintf(m, "%s %s\r\n", m.name, command)
	numbersKept := strings.HasPrefix(command, "FETCH") || strings.HasPrefix(command, "STORE") || strings.HasPrefix(command, "SEARCH")
	for {
		line, err := m.r.ReadString('\n')
		if err != nil {
			m.t.Errorf("%s: %s: %v", m.name, command, err)
			return ""
		}
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, m.name+" ") {
			return line[len(m.name)+1:]
		}
		if numbersKept && strings.HasSuffix(line, " EXPUNGE") {
			m.t.Errorf("%s: %q while %s runs", m.name, line, command)
		}
		m.apply(line)
	}
}

func (m *mirror) apply(line string) {
	words := strings.Fields(line)
	if len(words) > 1 && words[1] == "SEARCH" {
		m.all = nil
		for _, word := range words[2:] {
			uid, _ := strconv.Atoi(word)
			m.all = append(m.all, uid)
		}
		return
	}
	if len(words) < 3 {
		return
	}
	n, err := strconv.Atoi(words[1])
	if err != nil {
		return
	}
	switch words[2] {
	case "EXISTS":
		if n < len(m.uids) {
			m.t.Errorf("%s: %d messages fell to %d without EXPUNGE", m.name, len(m.uids), n)
		}
		for len(m.uids) < n {
			m.uids = append(m.uids, 0)
		}
	case "EXPUNGE":
		if n < 1 || n > len(m.uids) {
			m.t.Errorf("%s: %q with %d messages", m.name, line, len(m.uids))
			return
		}
		m.uids = append(m.uids[:n-1], m.uids[n:]...)
	case "FETCH":
		_, rest, _ := strings.Cut(line, "UID ")
		uid, _ := strconv.Atoi(strings.FieldsFunc(rest, func(r rune) bool { return r < '0' || r > '9' })[0])
		if n < 1 || n > len(m.uids) || m.uids[n-1] != 0 && m.uids[n-1] != uid {
			m.t.Errorf("%s: %q, but the messages are %v", m.name, line, m.uids)
			return
		}
		m.uids[n-1] = uid
	}
}

// TestSessionsAgree has sessions change one mailbox at the same time. Each client's picture, made from
// what it is told, must never contradict itself and must end up as what is there.
func TestSessionsAgree(t *testing.T) {
	const sessions, steps = 4, 150
	site := newSite(t, nil)
	addr := site.listen(t)
	var all sync.WaitGroup
	for k := range sessions {
		conn := dial(t, addr)
		m := &mirror{t: t, name: "s" + strconv.Itoa(k), Conn: conn, r: bufio.NewReader(conn)}
		random := rand.New(rand.NewPCG(uint64(k), 1))
		all.Go(func() {
			m.do(fmt.Sprintf("LOGIN %s \"%s\"", testLogin, testPassword))
			m.do("SELECT INBOX")
			for range steps {
				if answer := m.do(randomCommand(random, len(m.uids))); strings.HasPrefix(answer, "BAD") {
					t.Errorf("%s: %s", m.name, answer)
				}
			}
		})
		t.Cleanup(func() { m.settle() })
	}
	all.Wait()
}

// settle checks the picture when nothing changes any more.
func (m *mirror) settle() {
	m.do("NOOP")
	m.do("UID SEARCH ALL")
	m.do("FETCH 1:* UID")
	if fmt.Sprint(m.all) != fmt.Sprint(m.uids) {
		m.t.Errorf("%s: believes in %v, there are %v", m.name, m.uids, m.all)
	}
}

func randomCommand(random *rand.Rand, count int) string {
	if count == 0 || random.IntN(4) == 0 {
		return "APPEND INBOX {16+}\r\nSubject: x\r\n\r\nhi"
	}
	n := 1 + random.IntN(count)
	switch random.IntN(9) {
	case 0:
		return fmt.Sprintf("STORE %d +FLAGS (\\Deleted)", n)
	case 1:
		return fmt.Sprintf("STORE %d:%d +FLAGS.SILENT (\\Seen)", n, count)
	case 2:
		return "EXPUNGE"
	case 3:
		return fmt.Sprintf("FETCH %d:* (UID FLAGS)", n)
	case 4:
		return fmt.Sprintf("COPY %d INBOX", n)
	case 5:
		return fmt.Sprintf("MOVE %d Archive", n)
	case 6:
		return fmt.Sprintf("STORE %d FLAGS (\\Flagged)", n)
	case 7:
		return "SEARCH UNSEEN"
	}
	return "NOOP"
}
