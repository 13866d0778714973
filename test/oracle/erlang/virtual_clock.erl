%% The clock of a schedule: milliseconds from 0, moved by the driver alone. start_timer/3 and cancel_timer/1 stand for
%% those of `erlang`, seconds/0 for erlang:monotonic_time(1).
-module(virtual_clock).

-export([open/0, reset/0, seconds/0, start_timer/3, cancel_timer/1]).
-export([now/0, advance/1, next/0, fire/1]).

-define(NOW, 1).
-define(COUNT, 2).

open() ->
    persistent_term:put(?MODULE, atomics:new(2, [])),
    ets:new(?MODULE, [ordered_set, public, named_table]).

reset() ->
    atomics:put(clock(), ?NOW, 0),
    atomics:put(clock(), ?COUNT, 0),
    ets:delete_all_objects(?MODULE).

now() -> atomics:get(clock(), ?NOW).

seconds() -> ?MODULE:now() div 1000.

advance(To) -> atomics:put(clock(), ?NOW, To).

%% Ordered by when it is due, then by when it was started.
start_timer(infinity, _Pid, _Message) ->
    infinity;
start_timer(0, Pid, Message) -> % `after 0` waits for nobody
    Timer = {?MODULE:now(), atomics:add_get(clock(), ?COUNT, 1)},
    Pid ! {timeout, Timer, Message},
    Timer;
start_timer(Time, Pid, Message) ->
    Timer = {?MODULE:now() + Time, atomics:add_get(clock(), ?COUNT, 1)},
    ets:insert(?MODULE, {Timer, Pid, Message}),
    Timer.

cancel_timer(Timer) -> ets:delete(?MODULE, Timer).

%% The next timer whose owner still waits for it: the owner may have been killed meanwhile.
next() ->
    case ets:first(?MODULE) of
        '$end_of_table' ->
            none;
        Timer ->
            case is_process_alive(ets:lookup_element(?MODULE, Timer, 2)) of
                true -> Timer;
                false -> cancel_timer(Timer), next()
            end
    end.

%% Time moves to when the timer is due, never back.
fire({Due, _} = Timer) ->
    [{_, Pid, Message}] = ets:take(?MODULE, Timer),
    advance(max(?MODULE:now(), Due)),
    Pid ! {timeout, Timer, Message}.

clock() -> persistent_term:get(?MODULE).
