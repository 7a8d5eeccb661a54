-- Asks for one job after another; the ids are in the file that is given.
local requests = {}
local number = 0

function init(args)
  for id in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format("GET", "/jobs/" .. id)
  end
end

function request()
  number = number % #requests + 1
  return requests[number]
end
