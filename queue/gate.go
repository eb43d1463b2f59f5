package queue

// A gate bounds how much runs at the same time. Once something finds no room the gate is closed, for
// all, until a quarter is free again: else what is small would pass for ever before what is large. The
// destinations that wait before it are then tried in the order in which they came.
type gate struct {
	max, out int64
	closed   bool
	line     []*destination
	inLine   map[*destination]bool
}

// admits tells whether weight may enter now. What is heavier than the whole gate may enter alone.
func (g *gate) admits(weight int64) bool {
	if g.closed {
		return false
	}
	if g.out > 0 && g.out+weight > g.max {
		g.closed = true
		return false
	}
	return true
}

func (g *gate) enter(weight int64) { g.out += weight }

// wait puts d into the line before a closed gate.
func (g *gate) wait(d *destination) {
	if g.inLine[d] {
		return
	}
	if g.inLine == nil {
		g.inLine = map[*destination]bool{}
	}
	g.inLine[d] = true
	g.line = append(g.line, d)
}

// leave takes weight out, and returns who waited when that opens the gate.
func (g *gate) leave(weight int64) []*destination {
	g.out -= weight
	return g.open()
}

// open opens a closed gate that has room, and returns who waited.
func (g *gate) open() []*destination {
	if !g.closed || g.out > 0 && g.out > g.max-max(1, g.max/4) {
		return nil
	}
	line := g.line
	g.closed, g.line, g.inLine = false, nil, nil
	return line
}
