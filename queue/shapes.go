package queue

// A shapeKey is what a shape depends on.
type shapeKey struct{ destination, domain string }

// maxShapes bounds the shapes that are remembered.
const maxShapes = 20_000

func (s *scheduler) shapeOf(route Route) shape {
	key := shapeKey{route.Destination, route.Domain}
	sh, ok := s.shapes[key]
	if !ok {
		if len(s.shapes) >= maxShapes {
			clear(s.shapes)
		}
		sh = s.shaping.of(route)
		s.shapes[key] = sh
	}
	return sh
}

// batch returns how many recipients a task over route may have: no more than start at once by its rate.
func (s *scheduler) batch(route Route, most int) int {
	if r := s.shapeOf(route).rate; r.Recipients {
		return min(most, r.burst())
	}
	return most
}
