package engine

// outbox hands a request's events to its reader. To send never waits: what finds the
// channel full is kept, so that memory is for what was made and not for what may be,
// which would be megabytes a request where answers may be as long as a large context.
type outbox struct {
	events chan Event
	late   []Event
}

// roomEvents is what a reader may be behind before events are kept beside the channel.
const roomEvents = 64

func newOutbox(most int) outbox { return outbox{events: make(chan Event, min(most, roomEvents))} }

func (o *outbox) send(e Event) {
	o.late = append(o.late, e)
	for len(o.late) > 0 {
		select {
		case o.events <- o.late[0]:
			o.late = o.late[1:]
		default:
			return
		}
	}
	o.late = nil
}

// close closes the channel behind the last event. Where the reader is behind, that takes
// until it has read them or is gone.
func (o *outbox) close(gone <-chan struct{}) {
	if len(o.late) == 0 {
		close(o.events)
		return
	}
	go func() {
		defer close(o.events)
		for _, e := range o.late {
			select {
			case o.events <- e:
			case <-gone:
				return
			}
		}
	}()
}
