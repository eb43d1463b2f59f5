package main

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"syscall"
	"time"

	"posthaste/admin"
	"posthaste/config"
	"posthaste/dns/dnstest"
	"posthaste/mailfile"
	"posthaste/node"
)

// What the node of profile has around it.
const (
	profiledUsers   = 20
	profiledDomains = 20 // that other hosts serve
)

// profile runs a node in this process and the rest of the command line, a command of bench, in
// another, and writes cpu.prof and allocs.prof of the node alone:
//
//	bench profile -out /tmp/p inbound -c 10 -n 20000
//	bench profile -out /tmp/p -fill 20000 access -mailbox filled -ops bodies
func profile(args []string) (err error) {
	f := newFlags("profile")
	out := f.String("out", ".", "directory for the profiles")
	fill := f.Int("fill", 0, "messages to put into mailbox filled of the first user before")
	f.Parse(args)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp("", "bench-profile-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	logFile, err := os.Create(filepath.Join(*out, "node.log"))
	if err != nil {
		return err
	}
	defer logFile.Close()
	names := newNames(profiledDomains)
	if err := names.Listen("127.0.0.1:0"); err != nil {
		return err
	}
	go names.Serve(ctx)
	port, err := freePort()
	if err != nil {
		return err
	}
	n, err := openNode(ctx, dir, names.Address(), port, slog.New(slog.NewTextHandler(logFile, nil)))
	if err != nil {
		return err
	}
	if _, err := n.Admin().Import(ctx, admin.MailboxRequest{Address: userName(0, 1), Mailbox: "filled"}, filling(*fill)); err != nil {
		return err
	}
	go node.KeepMemory(ctx) // as a node does that has the process for itself
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- n.Run(ctx, func() { close(ready) }) }()
	select {
	case err := <-ended:
		return err
	case <-ready:
	}
	err = profileLoad(ctx, n, port, *out, f.Args())
	stop()
	if endErr := <-ended; err == nil {
		err = endErr
	}
	return err
}

// freePort returns a port for the sink, which stands for all other hosts.
func freePort() (int, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return ln.Addr().(*net.TCPAddr).Port, ln.Close()
}

// openNode makes a node in dir with the users of the bench; other hosts are at a port of loopback.
func openNode(ctx context.Context, dir, dns string, port int, log *slog.Logger) (*node.Node, error) {
	text := fmt.Sprintf("hostname = \"mx.bench.example\"\ndata = %q\n[tls]\nplaintext_auth = true\n[dns]\nservers = [%q]\n[remote]\nport = %d\n", dir, dns, port)
	for _, service := range []string{"mx", "submission", "imap"} {
		text += fmt.Sprintf("[[listen]]\nservice = %q\naddress = \"127.0.0.1:0\"\n", service)
	}
	cfg, err := config.Parse("bench", []byte(text))
	if err != nil {
		return nil, err
	}
	n, err := node.Open(ctx, cfg, log, node.Options{InProcess: true})
	if err != nil {
		return nil, err
	}
	if _, err := n.Admin().AddDomain(ctx, admin.DomainRequest{Name: "bench.example"}); err != nil {
		return nil, err
	}
	for i := range profiledUsers {
		if _, err := n.Admin().AddAccount(ctx, admin.AccountRequest{Address: userName(i, profiledUsers), Password: password}); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// filling yields n messages.
func filling(n int) iter.Seq2[mailfile.Message, error] {
	l := newLetters(4096)
	return func(yield func(mailfile.Message, error) bool) {
		for i := range n {
			if !yield(mailfile.Message{Content: l.letter(i, sender(i), userName(0, 1)), Received: time.Now()}, nil) {
				return
			}
		}
	}
}

// profileLoad profiles while a command of bench runs against n.
func profileLoad(ctx context.Context, n *node.Node, port int, out string, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("which command makes the load?")
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	switch args[0] {
	case "inbound":
		args = append(args, "-smtp", n.Address("mx"), "-imap", n.Address("imap"))
	case "outbound":
		args = append(args, "-smtp", n.Address("submission"), "-sink", fmt.Sprintf("127.0.0.1:%d", port))
	default:
		args = append(args, "-imap", n.Address("imap"))
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cpu, err := os.Create(filepath.Join(out, "cpu.prof"))
	if err != nil {
		return err
	}
	defer cpu.Close()
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return err
	}
	before, start := memStats(), processTime()
	err = cmd.Run()
	after, used := memStats(), processTime()-start
	pprof.StopCPUProfile()
	if err != nil {
		return err
	}
	fmt.Printf("the node used %v of CPU, allocated %d MiB in %d objects, collected garbage %d times\n", used,
		(after.TotalAlloc-before.TotalAlloc)>>20, after.Mallocs-before.Mallocs, after.NumGC-before.NumGC)
	allocs, err := os.Create(filepath.Join(out, "allocs.prof"))
	if err != nil {
		return err
	}
	defer allocs.Close()
	return pprof.Lookup("allocs").WriteTo(allocs, 0)
}

func memStats() (m runtime.MemStats) {
	runtime.ReadMemStats(&m)
	return m
}

// processTime returns the CPU time of this process without that of its children.
func processTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// serveDNS answers for the names of the bench until it is interrupted.
func serveDNS(args []string) error {
	f := newFlags("dns")
	address := f.String("listen", "127.0.0.1:5353", "address to listen on")
	domains := f.Int("domains", 1000, "domains that have a mail host on loopback")
	f.Parse(args)
	s := newNames(*domains)
	if err := s.Listen(*address); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return s.Serve(ctx)
}

// newNames returns a name server that knows domains, each with a mail host on loopback.
func newNames(domains int) *dnstest.Server {
	s := dnstest.New()
	for i := range domains {
		domain := fmt.Sprintf("dest%d.example", i+1)
		s.MX(domain, 10, domain)
		s.Addr(domain, "127.0.0.1")
		other := fmt.Sprintf("tenth%d.example", i+1)
		s.MX(other, 10, other)
		s.Addr(other, tenthHost)
	}
	return s
}
