package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
)

// SocketName is the file name of the admin socket in the data directory.
const SocketName = "admin.sock"

// ErrNotRunning means that no node listens on the admin socket.
var ErrNotRunning = errors.New("admin: no node is running")

// A Client asks for operations.
type Client struct {
	http *http.Client
}

// Dial returns a client of the node that runs on the data directory, or ErrNotRunning.
func Dial(ctx context.Context, data string) (*Client, error) {
	conn, err := dialSocket(ctx, data)
	if err != nil {
		return nil, err
	}
	conn.Close()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialSocket(ctx, data)
	}}
	return &Client{&http.Client{Transport: transport}}, nil
}

func dialSocket(ctx context.Context, data string) (net.Conn, error) {
	path, done, err := shortPath(data)
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrNotRunning
	}
	if err != nil {
		return nil, err
	}
	defer done()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if errors.Is(err, os.ErrPermission) {
		return nil, fmt.Errorf("admin: %s belongs to another user: run this as that user or as root", filepath.Join(data, SocketName))
	}
	if err != nil {
		return nil, ErrNotRunning
	}
	return conn, nil
}

// Listen opens the admin socket of a data directory, which the caller has locked.
func Listen(data string) (net.Listener, error) {
	path, done, err := shortPath(data)
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	defer done()
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("admin: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("admin: listen on %s: %w", filepath.Join(data, SocketName), err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // the path is good only as long as the directory is held
	return l, os.Chmod(path, 0o600)
}

// shortPath returns a path of the socket that fits a socket address (107 bytes) however long data is:
// it goes through a held descriptor of the directory.
func shortPath(data string) (path string, done func(), err error) {
	direct := filepath.Join(data, SocketName)
	if len(direct) < 100 {
		return direct, func() {}, nil
	}
	dir, err := os.Open(data)
	if err != nil {
		return "", nil, err
	}
	return filepath.Join("/proc/self/fd", strconv.Itoa(int(dir.Fd())), SocketName), func() { dir.Close() }, nil
}

// Local returns a client that runs the operations of a in this process.
func Local(a *Admin) *Client {
	return &Client{&http.Client{Transport: inProcess{a.Handler()}}}
}

// inProcess hands requests to a handler without a network.
type inProcess struct{ handler http.Handler }

// RoundTrip answers r by the handler while it still writes.
func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	reader, writer := io.Pipe()
	w := &pipeResponse{header: http.Header{}, body: writer}
	go func() {
		p.handler.ServeHTTP(w, r)
		writer.Close()
	}()
	return &http.Response{StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, Header: w.header, Body: reader, Request: r, ContentLength: -1}, nil
}

type pipeResponse struct {
	header http.Header
	body   *io.PipeWriter
}

func (w *pipeResponse) Header() http.Header         { return w.header }
func (w *pipeResponse) Write(p []byte) (int, error) { return w.body.Write(p) }
func (w *pipeResponse) WriteHeader(int)             {}

// Call runs an operation and returns its one answer.
func Call[Resp any](ctx context.Context, c *Client, name string, request any) (Resp, error) {
	var last Resp
	for item, err := range List[Resp](ctx, c, name, request) {
		if err != nil {
			return item, err
		}
		last = item
	}
	return last, nil
}

// List runs an operation and yields its answers as they come. An error ends it.
func List[Resp any](ctx context.Context, c *Client, name string, request any) iter.Seq2[Resp, error] {
	return func(yield func(Resp, error) bool) {
		var zero Resp
		body, err := json.Marshal(request)
		if err != nil {
			yield(zero, fmt.Errorf("admin: %s: %w", name, err))
			return
		}
		readLines(ctx, c, name, bytes.NewReader(body), yield)
	}
}

func readLines[Resp any](ctx context.Context, c *Client, name string, body io.Reader, yield func(Resp, error) bool) {
	var zero Resp
	response, err := c.post(ctx, name, body)
	if err != nil {
		yield(zero, err)
		return
	}
	defer response.Close()
	for lines := json.NewDecoder(response); ; {
		var l struct {
			Item  *Resp  `json:"item"`
			Error string `json:"error"`
			Done  bool   `json:"done"`
		}
		err := lines.Decode(&l)
		switch {
		case err != nil:
			yield(zero, fmt.Errorf("admin: %s: the node went away before it had answered: %w", name, err))
			return
		case l.Error != "":
			yield(zero, errors.New(l.Error))
			return
		case l.Done:
			return
		case l.Item != nil && !yield(*l.Item, nil):
			return
		}
	}
}

// Lines runs an operation and yields the JSON of its answers as it came, each valid until the next.
// An error ends it.
func Lines(ctx context.Context, c *Client, name string, request any) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		body, err := json.Marshal(request)
		if err != nil {
			yield(nil, fmt.Errorf("admin: %s: %w", name, err))
			return
		}
		response, err := c.post(ctx, name, bytes.NewReader(body))
		if err != nil {
			yield(nil, err)
			return
		}
		defer response.Close()
		lines := bufio.NewScanner(response)
		lines.Buffer(make([]byte, 0, 64<<10), maxLine)
		for lines.Scan() {
			item, isItem := bytes.CutPrefix(lines.Bytes(), []byte(`{"item":`))
			if isItem {
				if !yield(item[:len(item)-1], nil) {
					return
				}
				continue
			}
			var last line
			switch err := json.Unmarshal(lines.Bytes(), &last); {
			case err != nil:
				yield(nil, fmt.Errorf("admin: %s: %w", name, err))
			case last.Error != "":
				yield(nil, errors.New(last.Error))
			}
			return
		}
		yield(nil, fmt.Errorf("admin: %s: the node went away before it had answered: %w", name, errors.Join(lines.Err(), io.ErrUnexpectedEOF)))
	}
}

// maxLine bounds one answer: an entry of 100,000 recipients with long answers is large.
const maxLine = 256 << 20

func (c *Client) post(ctx context.Context, name string, body io.Reader) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://posthaste/"+name, body)
	if err != nil {
		return nil, fmt.Errorf("admin: %s: %w", name, err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("admin: %s: %w", name, err)
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("admin: %s: the node answers %s: is it of another version?", name, response.Status)
	}
	return response.Body, nil
}
