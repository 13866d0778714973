%% Erlang's own supervisor, crashed as in Restart.ts: every child of every supervisor, sweep after sweep. A restart is over when the new
%% child runs. Prints the restarts per second.
-module(otp_restart).
-behaviour(supervisor).
-export([main/3, init/1, start_child/1, child/1]).

main(Supervisors, Children, Sweeps) ->
    [{ok, _} = supervisor:start_link(?MODULE, {self(), Children}) || _ <- lists:seq(1, Supervisors)],
    Pids = ups(Supervisors * Children),
    Warm = sweep(Pids),
    Start = erlang:monotonic_time(microsecond),
    lists:foldl(fun(_, Running) -> sweep(Running) end, Warm, lists:seq(1, Sweeps)),
    Took = erlang:monotonic_time(microsecond) - Start,
    io:format("~b", [Supervisors * Children * Sweeps * 1000000 div Took]).

sweep(Pids) ->
    lists:foreach(fun(Pid) -> Pid ! crash end, Pids),
    ups(length(Pids)).

ups(N) -> [receive {up, Pid} -> Pid end || _ <- lists:seq(1, N)].

init({Driver, Children}) ->
    Flags = #{strategy => one_for_one, intensity => 1000000000, period => 1},
    {ok, {Flags, [#{id => N, start => {?MODULE, start_child, [Driver]}} || N <- lists:seq(1, Children)]}}.

start_child(Driver) -> {ok, spawn_link(?MODULE, child, [Driver])}.

child(Driver) ->
    Driver ! {up, self()},
    receive crash -> exit(boom) end.
