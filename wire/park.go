package wire

import (
	"context"
	"errors"
	"os"
	"time"
)

// Park waits for input while holding no buffers, where the connection has a file descriptor. It flushes
// before, unless input is here already. It returns nil once there is input, io.EOF at its end, ErrWoken after Wake, ctx.Err()
// when ctx ends, and an error that is os.ErrDeadlineExceeded after d.
func (c *Conn) Park(ctx context.Context, d time.Duration) error {
	if c.in.len() > 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.cause(ctx)
	}
	if err := c.Flush(); err != nil {
		return err
	}
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, c.interrupt)
		defer stop()
	}
	deadline := time.Now().Add(d)
	for {
		if err := c.park(ctx, deadline); !errors.Is(err, errSpurious) {
			return err
		}
	}
}

// errSpurious is the end of a wait that nothing explains: the interrupt of an earlier context.
var errSpurious = errors.New("wire: spurious wake-up")

func (c *Conn) park(ctx context.Context, deadline time.Time) error {
	c.mu.Lock()
	if c.woken || ctx.Err() != nil {
		defer c.mu.Unlock()
		return c.cause(ctx)
	}
	c.parked = true
	err := c.link.readUntil(deadline)
	c.mu.Unlock()
	if err == nil {
		err = c.fill()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parked = false
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	if cause := c.cause(ctx); cause != nil {
		return cause
	}
	if time.Now().Before(deadline) {
		return errSpurious
	}
	return err
}

// cause says why a wait was cut short, and takes note of a Wake. c.mu is held.
func (c *Conn) cause(ctx context.Context) error {
	if c.woken {
		c.woken = false
		return ErrWoken
	}
	return ctx.Err()
}

// Wake makes the present Park, or else the next one, return ErrWoken. Any goroutine may call it, and
// it does not block.
func (c *Conn) Wake() {
	c.mu.Lock()
	c.woken = true
	c.mu.Unlock()
	c.interrupt()
}

// interrupt ends a wait of Park that goes on.
func (c *Conn) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.parked {
		c.nc.SetReadDeadline(time.Unix(1, 0)) // long past
	}
}
