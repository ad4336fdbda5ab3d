import { useState, useCallback } from 'react'
import { useWebSocket } from './useWebSocket'

interface ProgressState {
  [videoId: string]: {
    percent: number
    downloadedBytes?: number
    totalBytes?: number
  }
}

export function useDownloadProgress() {
  const [progress, setProgress] = useState<ProgressState>({})

  const handleMessage = useCallback((message: any) => {
    if (message.type === 'progress') {
      setProgress(prev => ({
        ...prev,
        [message.video_id]: {
          percent: message.percent,
          downloadedBytes: message.downloaded_bytes,
          totalBytes: message.total_bytes
        }
      }))
    }

    // Clear progress when download completes or fails
    if (message.type === 'status' && ['complete', 'failed'].includes(message.status)) {
      setProgress(prev => {
        const next = { ...prev }
        delete next[message.video_id]
        return next
      })
    }
  }, [])

  const { isConnected } = useWebSocket({ onMessage: handleMessage })

  const getProgress = useCallback((videoId: string): number | null => {
    return progress[videoId]?.percent ?? null
  }, [progress])

  return { progress, getProgress, isConnected }
}
