-- Reports progress, which is never the same twice, on the job that the URL is about.
local headers = { ["Content-Type"] = "application/json" }
local number = 0

function init() math.randomseed(os.time()) end

function request()
  number = number + 1
  local progress = (number + math.random()) % 1000 / 1000
  return wrk.format("PATCH", nil, headers, string.format('{"progress":%.9f}', progress))
end
