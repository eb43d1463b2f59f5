package interop

import (
	"bytes"
	"context"
	"os"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"

	"posthaste/dns/dnstest"
)

type namesKey struct{}

// startNames starts a name server for a script whose configuration asks for one, by @DNS@.
func startNames(env *testscript.Env, config []byte) ([]byte, error) {
	if !bytes.Contains(config, []byte("@DNS@")) {
		return config, nil
	}
	names := dnstest.New()
	names.SetTTL(0, 0)
	if err := names.Listen("127.0.0.1:0"); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { names.Serve(ctx) })
	env.Defer(func() {
		cancel()
		serving.Wait()
	})
	env.Values[namesKey{}] = names
	return bytes.ReplaceAll(config, []byte("@DNS@"), []byte(names.Address())), nil
}

// publishScript adds the records of a zone file. What begins with white space goes on with a record.
func publishScript(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: publish FILE")
	}
	text, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	joined := strings.ReplaceAll(strings.TrimSpace(string(text)), "\n\t", " ")
	for record := range strings.Lines(joined) {
		ts.Check(ts.Value(namesKey{}).(*dnstest.Server).Add(strings.TrimSpace(record)))
	}
}
